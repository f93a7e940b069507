/** Which events of twins are in the log already, where a hub was killed, or the log could not say, between writing them and dropping them. */
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { EventLog } from '../events/ports.ts';
import { sequenceOf } from './event-messages.ts';
import type { BegunTwinEventStore, KeptTwinEvent } from './ports.ts';

export interface WrittenBeforeParts {
  readonly eventLog: EventLog;
  readonly partitionOf: (deviceId: string, partitionCount: number) => number;
  readonly correlationOf: (bytes: Buffer, start: number, end: number) => string | undefined;
  /** Absent = the log's times are by the clock by which events are kept, and may be searched by. */
  readonly begun?: BegunTwinEventStore;
  readonly clock: Clock;
}

const NONE: ReadonlySet<number> = new Set();

export class WrittenBefore {
  readonly #parts: WrittenBeforeParts;
  /** Another, or this one before it failed, may have written some. */
  #isInDoubt = true;
  /** What was begun before, and not dropped here since. */
  readonly #open = new Set<number>();
  #places: Readonly<Record<number, number>> = {};
  readonly #askedAt = new Map<number, number>();

  constructor(parts: WrittenBeforeParts) {
    this.#parts = parts;
  }

  doubt(): void {
    this.#isInDoubt = true;
  }

  /** Nothing waits: what is kept from now on nobody has written. */
  nothingLeft(): void {
    this.#isInDoubt = false;
    this.#open.clear();
  }

  /**
   * @param events the first of all that are kept, in order
   * @returns the sequences of those that are in the log. The others may be written after it.
   */
  async before(events: readonly KeptTwinEvent[]): Promise<ReadonlySet<number>> {
    const { begun } = this.#parts;
    if (begun === undefined) return this.#isInDoubt ? this.#foundByTime(events) : NONE;
    if (this.#isInDoubt) {
      const last = await begun.load();
      this.#open.clear();
      for (const sequence of last?.sequences ?? []) this.#open.add(sequence);
      this.#places = last?.places ?? {};
      this.#isInDoubt = false;
    }
    this.#closeDropped(events);
    const known = await this.#found(
      events.filter(({ sequence }) => this.#open.has(sequence)),
      async (partition) => this.#places[partition] ?? 0,
    );
    const isAnyOpen = this.#open.size > 0;
    await begun.keep({
      sequences: [...new Set([...this.#open, ...events.map(({ sequence }) => sequence)])],
      places: { ...(await this.#ends(events)), ...(isAnyOpen && this.#places) },
    });
    return known;
  }

  /**
   * Of each partition that one of them goes to, an end of the log that was one lately: what is written from now on is not before it,
   * and not much else is behind it.
   */
  async #ends(events: readonly KeptTwinEvent[]): Promise<Readonly<Record<number, number>>> {
    const { eventLog, clock } = this.#parts;
    const ends: Record<number, number> = {};
    for (const partition of this.#partitionsOf(events)) {
      const isFresh = clock.monotonic() - (this.#askedAt.get(partition) ?? -Infinity) < limits.twinEventsEndMs;
      if (!isFresh) {
        await eventLog.partition(partition);
        this.#askedAt.set(partition, clock.monotonic());
      }
      ends[partition] = eventLog.lastKnown(partition).lastSequence + 1;
    }
    return ends;
  }

  #partitionsOf(events: readonly KeptTwinEvent[]): ReadonlySet<number> {
    const { eventLog, partitionOf } = this.#parts;
    return new Set(events.map(({ key }) => partitionOf(key.deviceId, eventLog.partitionCount)));
  }

  /**
   * What was begun, and is not kept any more: another node has dropped it, or this one, without an answer. Where events never cease it would
   * stay begun for good, and whoever takes over would read all of the log since.
   */
  #closeDropped(events: readonly KeptTwinEvent[]): void {
    const kept = new Set(events.map(({ sequence }) => sequence));
    const last = events.at(-1)?.sequence ?? 0;
    for (const sequence of this.#open) if (sequence <= last && !kept.has(sequence)) this.#open.delete(sequence);
  }

  /** These are in the log, and not kept any more. */
  dropped(events: readonly KeptTwinEvent[]): void {
    for (const { sequence } of events) this.#open.delete(sequence);
  }

  #foundByTime(events: readonly KeptTwinEvent[]): Promise<ReadonlySet<number>> {
    const time = Math.min(...events.map((event) => event.time)) - limits.twinEventsSearchMs;
    return this.#found(events, (partition) =>
      this.#parts.eventLog.seek(partition, { kind: 'time', time, inclusive: true }),
    );
  }

  async #found(
    events: readonly KeptTwinEvent[],
    placeIn: (partition: number) => Promise<number>,
  ): Promise<ReadonlySet<number>> {
    const { eventLog, correlationOf } = this.#parts;
    const sought = new Set(events.map(({ sequence }) => sequence));
    const known = new Set<number>();
    for (const partition of this.#partitionsOf(events)) {
      // Asked: this process may not have heard of what another has written.
      const { lastSequence } = await eventLog.partition(partition);
      let next = await placeIn(partition);
      while (next <= lastSequence) {
        const runs = await eventLog.read(partition, next, limits.traceReadBytesMax);
        if (runs.length === 0) break;
        for (const { firstSequence, count, bytes, start } of runs) {
          let at = start;
          for (let record = 0; record < count; record++) {
            const from = at + 4;
            at = from + bytes.readUInt32LE(at);
            const correlation = correlationOf(bytes, from, at);
            const sequence = correlation === undefined ? undefined : sequenceOf(correlation);
            if (sequence !== undefined && sought.has(sequence)) known.add(sequence);
          }
          next = firstSequence + count;
        }
        eventLog.giveBack(runs);
      }
    }
    return known;
  }
}
