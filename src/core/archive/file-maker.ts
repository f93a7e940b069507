/** Makes the files of one partition of an archive: reads the log, and adds what it finds to a file in memory. */
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { ArchiveEndpoint } from '../routes/endpoints/archive.ts';
import type { RoutedEvent, RoutedLog, RoutedRecord } from '../routes/ports.ts';
import type { FileBuilders } from './ports.ts';
import type { ArchivedFile, FileScheme } from './types.ts';

export interface FileMakerParts {
  readonly endpoint: ArchiveEndpoint;
  readonly slot: number;
  readonly log: RoutedLog;
  readonly builders: FileBuilders;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly isHeld: () => boolean;
  /** All of them, or the first ones. */
  readonly enriched?: (records: readonly RoutedRecord[]) => Promise<readonly RoutedEvent[]>;
}

/** A file as it was made, before it has a place in the list. */
export interface Made {
  readonly pieces: readonly Uint8Array[];
  readonly file: ArchivedFile;
}

/** What was read of the log for a file that is on no list yet: events from `first` on, below `next`. */
interface Taken {
  readonly first: number;
  next: number;
  /** More of them may be on their way. */
  isReading: boolean;
}

const NOTHING_ADDED: RoutedEvent['enrichments'] = [];

/** What an event brings into a file, about. */
function bytesOf({ start, end, enrichments }: RoutedEvent): number {
  return enrichments.reduce((sum, [key, value]) => sum + key.length + value.length, end - start);
}

export class FileMaker {
  readonly #parts: FileMakerParts;
  readonly #partition: number;
  #taken: Taken | undefined;

  constructor(parts: FileMakerParts, partition: number) {
    this.#parts = parts;
    this.#partition = partition;
  }

  /** Whether events from `from` on, below `end`, may be in memory, and in no listed file. */
  mayHold(from: number, end: number): boolean {
    const taken = this.#taken;
    return taken !== undefined && taken.first < end && (taken.isReading || from < taken.next);
  }

  /**
   * Makes the next file, of the events from `first` on, as many as it may have, and has it listed; until then its events count as
   * held. @returns what `list` has given; undefined = as `make`
   */
  async makeNext<Listed>(
    scheme: FileScheme,
    first: number,
    list: (made: Made) => Promise<Listed>,
  ): Promise<Listed | undefined> {
    this.#taken = { first, next: first, isReading: true };
    try {
      const made = await this.make(scheme, first, undefined);
      return made && (await list(made));
    } finally {
      this.#taken = undefined;
    }
  }

  /**
   * Makes the file of the events from `first` on: up to `last`, or as many as a file may have. Undefined = the hub stops, or the hold
   * was lost.
   */
  async make(scheme: FileScheme, first: number, last: number | undefined): Promise<Made | undefined> {
    const { builders, endpoint, signal, isHeld } = this.#parts;
    const end = last ?? (await this.#parts.log.partition(this.#partition)).lastSequence;
    const builder = builders.begin(scheme, first);
    const found = { events: 0, bytes: 0, missed: 0, firstTime: 0, lastTime: 0 };
    let next = first;
    try {
      while (next <= end && (last !== undefined || found.bytes < endpoint.fileBytes)) {
        if (signal.aborted || !isHeld()) return undefined;
        const batch = await this.read(next);
        let after: number;
        try {
          const records = batch.records.filter(({ sequence }) => sequence <= end);
          const events = await this.#eventsOf(records);
          await builder.add(events);
          found.missed += Math.min(batch.missed, end + 1 - next);
          if (events.length > 0 && found.events === 0) found.firstTime = events[0].time;
          found.lastTime = events.at(-1)?.time ?? found.lastTime;
          found.events += events.length;
          for (const event of events) found.bytes += bytesOf(event);
          // Where enrichments add much they come in parts.
          after = records[events.length]?.sequence ?? batch.next;
        } finally {
          batch.release();
        }
        if (after <= next) break;
        next = Math.min(after, end + 1);
      }
      this.#allRead(next);
      const pieces = await builder.finish();
      const { events, firstTime, lastTime, missed } = found;
      const file = { first, last: last ?? next - 1, firstTime, lastTime, events, bytes: undefined, missed };
      return { pieces: events === 0 ? [] : pieces, file };
    } finally {
      builder.abandon();
    }
  }

  /** Records of the log that are for this archive. */
  read(from: number): ReturnType<RoutedLog['read']> {
    const { log, slot } = this.#parts;
    const bounds = {
      ...{ bytesMax: limits.deliveryReadBytes, recordsMax: Number.POSITIVE_INFINITY, slots: 1 << slot },
    };
    return log.read(this.#partition, from, bounds);
  }

  #allRead(next: number): void {
    if (this.#taken === undefined) return;
    this.#taken.next = next;
    this.#taken.isReading = false;
  }

  async #eventsOf(records: readonly RoutedRecord[]): Promise<readonly RoutedEvent[]> {
    const { enriched } = this.#parts;
    return enriched === undefined
      ? records.map((record) => ({ ...record, enrichments: NOTHING_ADDED }))
      : enriched(records);
  }
}
