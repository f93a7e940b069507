/** One partition of an archive: looks what waits, cuts files, lists them, brings them into the store. */
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { ArchiveEndpoint } from '../routes/endpoints/archive.ts';
import type { CursorHold, CursorStore, HeldCursor, RoutedEvent, RoutedLog, RoutedRecord } from '../routes/ports.ts';
import { type Block, type FileBlocks, listedFiles, rowOf } from './blocks.ts';
import type { FileUpload } from './file-upload.ts';
import type { ArchiveStep, ArchiveStore, FileBuilders } from './ports.ts';
import { formatFacts, isDue, manifestPath, pathOf } from './rules.ts';
import type { ArchivedFile, FileScheme } from './types.ts';

export interface PartitionArchiveParts {
  readonly cursor: HeldCursor;
  readonly blocks: FileBlocks;
  /** Of files that come. */
  readonly scheme: FileScheme;
  readonly endpoint: ArchiveEndpoint;
  readonly slot: number;
  readonly log: RoutedLog;
  readonly cursors: CursorStore;
  readonly store: ArchiveStore;
  readonly builders: FileBuilders;
  readonly upload: FileUpload;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly isHeld: () => boolean;
  /** All of them, or the first ones. */
  readonly enriched?: (records: readonly RoutedRecord[]) => Promise<readonly RoutedEvent[]>;
  readonly reached?: (step: ArchiveStep) => void;
  readonly stored: (file: ArchivedFile) => void;
}

/** `more`: it may be worth to go on at once. `lost`: the cursor belongs to another node now. */
export type StepOutcome = 'idle' | 'more' | 'lost';

/** What waits: the first event that is for the archive, and what an event of the log brings to it, about. */
interface Pending {
  readonly sequence: number;
  readonly time: number;
  readonly bytesPerEvent: number;
}

/** A file as it was made, before it has a place in the list. */
interface Made {
  readonly pieces: readonly Uint8Array[];
  readonly file: ArchivedFile;
}

const NOTHING_ADDED: RoutedEvent['enrichments'] = [];

/** What an event brings into a file, about. */
function bytesOf({ start, end, enrichments }: RoutedEvent): number {
  return enrichments.reduce((sum, [key, value]) => sum + key.length + value.length, end - start);
}

export class PartitionArchive {
  readonly hold: CursorHold;
  readonly #parts: PartitionArchiveParts;
  readonly #blocks: FileBlocks;
  /** The first event that is in no listed file, as far as it is known to be for this archive. */
  #next: number;
  #savedNext: number;
  #savedAt: number;
  #pending: Pending | undefined;
  /** Events that retention took before they were seen, of which no file says so yet. */
  #missed = 0;
  #rewrites: number[] = [];
  #manifestDue: Block | undefined;

  constructor(parts: PartitionArchiveParts) {
    this.#parts = parts;
    this.hold = parts.cursor.hold;
    this.#blocks = parts.blocks;
    this.#next = this.#savedNext = parts.cursor.sequence;
    this.#savedAt = parts.clock.monotonic();
    // The last one may have been cut off by a crash.
    this.#manifestDue = parts.blocks.newest;
  }

  get next(): number {
    return this.#next;
  }

  /** Enqueued time of the oldest event that waits; undefined = none does. */
  get oldestTime(): number | undefined {
    const { last } = this.#blocks;
    return last !== undefined && last.bytes === undefined ? last.firstTime : this.#pending?.time;
  }

  /** The first event that the log has to keep for this archive. */
  get kept(): number {
    const { last } = this.#blocks;
    return last !== undefined && last.bytes === undefined ? last.first : this.#next;
  }

  rewriteLater(first: number): void {
    if (!this.#rewrites.includes(first)) this.#rewrites.push(first);
  }

  async step(): Promise<StepOutcome> {
    const { last } = this.#blocks;
    if (last !== undefined && last.bytes === undefined) return this.#finishListed(last);
    const first = this.#rewrites.shift();
    if (first !== undefined) return this.#rewrite(first);
    await this.#tellManifest();
    return this.#look();
  }

  /** A file that was listed and is not known to be stored: its events are read again. */
  async #finishListed(file: ArchivedFile): Promise<StepOutcome> {
    const newest = this.#blocks.newest as Block;
    const made = await this.#make(newest.scheme, file.first, file.last);
    if (made === undefined) return 'idle';
    return this.#bring(
      newest,
      { ...made.file, ...{ first: file.first, last: file.last, firstTime: file.firstTime } },
      made,
    );
  }

  async #rewrite(first: number): Promise<StepOutcome> {
    const file = await this.#blocks.find(first);
    const { firstSequence } = await this.#parts.log.partition(this.hold.partition);
    if (file === undefined || file.first !== first || firstSequence > file.first || file.events === 0) return 'more';
    const scheme = { ...this.#parts.scheme, format: file.format };
    const made = await this.#make(scheme, file.first, file.last);
    if (made === undefined) return 'idle';
    const { contentType } = formatFacts[file.format];
    await this.#parts.upload.bring(file.path, contentType, made.pieces, this.#parts.isHeld);
    return 'more';
  }

  async #look(): Promise<StepOutcome> {
    const { log, endpoint, clock } = this.#parts;
    const { partition } = this.hold;
    const { lastSequence } = await log.partition(partition);
    if (this.#pending === undefined) {
      const outcome = await this.#findPending(lastSequence);
      if (outcome !== undefined) return outcome;
    }
    const pending = this.#pending;
    if (pending === undefined) return 'idle';
    const bytes = (lastSequence + 1 - pending.sequence) * pending.bytesPerEvent;
    if (!isDue({ bytes, time: pending.time }, endpoint, clock.now())) return 'idle';
    const made = await this.#make(this.#parts.scheme, pending.sequence, undefined);
    if (made === undefined) return 'idle';
    const block = this.#blocks.with(this.#parts.scheme, made.file);
    this.#missed = 0;
    if (!(await this.#save(made.file.last + 1, block))) return 'lost';
    this.#pending = undefined;
    this.#parts.reached?.('listed');
    return this.#bring(block, made.file, made);
  }

  /** Goes over events that are not for this archive. Undefined = the end was reached, or one was found. */
  async #findPending(lastSequence: number): Promise<StepOutcome | undefined> {
    for (let reads = 0; reads < limits.archiveReadsPerStep && this.#next <= lastSequence; reads++) {
      const from = this.#next;
      const batch = await this.#read(from);
      const [first] = batch.records;
      const bytes = batch.records.reduce((sum, { start, end }) => sum + end - start, 0);
      const span = batch.next - from - batch.missed;
      this.#missed += batch.missed;
      batch.release();
      if (first !== undefined) {
        this.#next = first.sequence;
        this.#pending = { sequence: first.sequence, time: first.time, bytesPerEvent: bytes / Math.max(1, span) };
        return undefined;
      }
      if (batch.next <= from) break;
      this.#next = batch.next;
    }
    const { clock } = this.#parts;
    const isFar = this.#next - this.#savedNext >= limits.archiveSkipEvents;
    const isLong = this.#next > this.#savedNext && clock.monotonic() - this.#savedAt >= limits.archiveSkipMs;
    if ((isFar || isLong) && !(await this.#save(this.#next, undefined))) return 'lost';
    return this.#next <= lastSequence ? 'more' : undefined;
  }

  #read(from: number): ReturnType<RoutedLog['read']> {
    const { log, slot } = this.#parts;
    const bounds = {
      ...{ bytesMax: limits.deliveryReadBytes, recordsMax: Number.POSITIVE_INFINITY, slots: 1 << slot },
    };
    return log.read(this.hold.partition, from, bounds);
  }

  /**
   * Makes the file of the events from `first` on: up to `last`, or as many as a file may have. Undefined = the hub stops, or the hold
   * was lost.
   */
  async #make(scheme: FileScheme, first: number, last: number | undefined): Promise<Made | undefined> {
    const { builders, endpoint, signal, isHeld } = this.#parts;
    const builder = builders.begin(scheme, first);
    const end = last ?? (await this.#parts.log.partition(this.hold.partition)).lastSequence;
    const found = { events: 0, bytes: 0, missed: 0, firstTime: 0, lastTime: 0 };
    let next = first;
    try {
      while (next <= end && (last !== undefined || found.bytes < endpoint.fileBytes)) {
        if (signal.aborted || !isHeld()) return undefined;
        const batch = await this.#read(next);
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
      const pieces = await builder.finish();
      const { events, firstTime, lastTime } = found;
      const missed = found.missed + (last === undefined ? this.#missed : 0);
      const file = { first, last: last ?? next - 1, firstTime, lastTime, events, bytes: undefined, missed };
      return { pieces: events === 0 ? [] : pieces, file };
    } finally {
      builder.abandon();
    }
  }

  async #eventsOf(records: readonly RoutedRecord[]): Promise<readonly RoutedEvent[]> {
    const { enriched } = this.#parts;
    return enriched === undefined
      ? records.map((record) => ({ ...record, enrichments: NOTHING_ADDED }))
      : enriched(records);
  }

  /** Uploads a listed file, and says in the list that it is there. */
  async #bring(block: Block, file: ArchivedFile, { pieces }: Made): Promise<StepOutcome> {
    const { upload, isHeld, reached, stored } = this.#parts;
    const bytes = pieces.reduce((sum, { length }) => sum + length, 0);
    if (pieces.length > 0) {
      const path = pathOf(block.scheme, file.first, file.firstTime);
      if (!(await upload.bring(path, formatFacts[block.scheme.format].contentType, pieces, isHeld))) return 'idle';
    }
    const whole = { ...file, bytes };
    const done = { ...block, files: [...block.files.slice(0, -1), whole] };
    if (!(await this.#save(this.#savedNext, done))) return 'lost';
    reached?.('stored');
    stored(whole);
    this.#manifestDue = done;
    await this.#tellManifest();
    return 'more';
  }

  async #save(sequence: number, block: Block | undefined): Promise<boolean> {
    const put = block === undefined ? [] : [rowOf(block)];
    if (!(await this.#parts.cursors.save(this.hold, { sequence, put }))) return false;
    this.#next = Math.max(this.#next, sequence);
    this.#savedNext = sequence;
    this.#savedAt = this.#parts.clock.monotonic();
    if (block !== undefined) this.#blocks.saved(block);
    return true;
  }

  /** The list beside the files, for those who have only the store. It may be one file behind; the next one brings it up. */
  async #tellManifest(): Promise<void> {
    const block = this.#manifestDue;
    if (block === undefined) return;
    const { eventHub, partition, format } = block.scheme;
    const files = listedFiles(block).filter(({ bytes }) => bytes !== undefined);
    const text = JSON.stringify({
      version: 1,
      eventHub,
      endpoint: this.#parts.endpoint.name,
      partition,
      format,
      files,
    });
    const bytes = Buffer.from(text);
    const source = async function* () {
      yield bytes;
    };
    const options = { contentType: 'application/json', bytes: bytes.length, bytesMax: bytes.length, condition: {} };
    try {
      await this.#parts.store.put(manifestPath(block.scheme, Number(block.key)), source(), options);
      this.#manifestDue = undefined;
    } catch {
      // The next file, or the next look, tries again.
    }
  }
}
