/**
 * Telemetry for pages: one reading of a partition for all streams that watch a device of it, once in a tick. Of what came in a
 * tick an even sample is decoded, written as JSON once, and given to every stream; the rest is counted. A partition that
 * grows faster than it may be read is gone on with at its end.
 */
import { limits } from '../../../../base/limits.ts';
import type { Log } from '../../../../base/log.ts';
import type { EventSource } from '../../../../core/events/room.ts';
import { deviceOfRecord, type ShownEvent, shownEvent } from './shown-event.ts';

/** Hears of a watched device, or of all: the newest messages as JSON, and how many more there were. */
export type TelemetryListener = (told: ToldTelemetry) => void;

export interface ToldTelemetry {
  /** JSON array of `ShownEvent`. */
  readonly events: string;
  /** Of the newest of them. */
  readonly lastSequence: number;
  readonly leftOut: number;
  /** Some were not looked at: `leftOut` counts those of all devices. */
  readonly skipped: boolean;
  /** They came before the stream began. */
  readonly recent: boolean;
}

interface Found {
  readonly start: number;
  readonly end: number;
  readonly bytes: Buffer;
  readonly sequence: number;
  readonly time: number;
}

/** What of one partition is watched. */
class WatchedPartition {
  readonly source: EventSource;
  readonly devices = new Map<string, Set<TelemetryListener>>();
  readonly unwatch: () => void;
  next: number;
  isReading = false;

  constructor(source: EventSource) {
    this.source = source;
    // Where brokers keep the log, what other nodes write is heard of by those who watch alone.
    this.unwatch = source.log.watch(source.partition, () => {});
    this.next = source.log.lastKnown(source.partition).lastSequence + 1;
  }
}

/** One per hub. */
export class TelemetryFeed {
  readonly #log: Log;
  readonly #partitions = new Map<number, WatchedPartition>();

  constructor(log: Log) {
    this.#log = log;
  }

  get isIdle(): boolean {
    return this.#partitions.size === 0;
  }

  /**
   * Tells of the device's messages from now on, and of some that came before.
   * @param source the partition of the device, opened with the right to read it
   * @param after the sequence number of the last one that the page has; absent = it has none
   * @returns ends it
   */
  watch(source: EventSource, deviceId: string, listener: TelemetryListener, after?: number): () => void {
    const { partition } = source;
    const watched = this.#partitions.get(partition) ?? new WatchedPartition(source);
    this.#partitions.set(partition, watched);
    const held: ToldTelemetry[] = [];
    let isCaughtUp = false;
    const own: TelemetryListener = (told) => {
      if (isCaughtUp) listener(told);
      else held.push(told);
    };
    const listeners = watched.devices.get(deviceId) ?? new Set();
    watched.devices.set(deviceId, listeners.add(own));
    const catchUp = (): void => {
      isCaughtUp = true;
      for (const told of held.splice(0)) listener(told);
    };
    this.#recent(watched, deviceId, watched.next, after).then(
      (told) => {
        if (told !== undefined && listeners.has(own)) listener(told);
        catchUp();
      },
      (error: unknown) => {
        this.#log.warn({ error, partition }, 'the portal could not read what came before');
        catchUp();
      },
    );
    return () => {
      if (!listeners.delete(own)) return;
      if (listeners.size === 0 && watched.devices.get(deviceId) === listeners) watched.devices.delete(deviceId);
      if (watched.devices.size > 0 || this.#partitions.get(partition) !== watched) return;
      watched.unwatch();
      this.#partitions.delete(partition);
    };
  }

  /** To be called once in a tick. */
  tick(): void {
    for (const watched of this.#partitions.values()) {
      const { log, partition } = watched.source;
      if (watched.isReading || log.lastKnown(partition).lastSequence < watched.next) continue;
      watched.isReading = true;
      this.#read(watched)
        .catch((error: unknown) => this.#log.warn({ error, partition }, 'the portal could not read a partition'))
        .finally(() => {
          watched.isReading = false;
        });
    }
  }

  async #read(watched: WatchedPartition): Promise<void> {
    const { log, partition } = watched.source;
    const runs = await log.read(partition, watched.next, limits.portalReadBytesMax);
    const found = new Map<string, Found[]>();
    for (const run of runs) {
      each(run, (one) => {
        const deviceId = deviceOfRecord(one.bytes, one.start, one.end);
        if (deviceId === undefined || !watched.devices.has(deviceId)) return;
        const list = found.get(deviceId);
        if (list === undefined) found.set(deviceId, [one]);
        else list.push(one);
      });
      watched.next = run.firstSequence + run.count;
    }
    // More waits than the next ticks may read: it is not looked at.
    const { lastSequence } = log.lastKnown(partition);
    const behind = Math.max(0, lastSequence + 1 - limits.portalRecentRecordsMax - watched.next);
    const isBehind = runs.length > 0 && behind > 0;
    watched.next += behind;
    for (const [deviceId, listeners] of watched.devices) {
      const all = found.get(deviceId) ?? [];
      if (all.length === 0 && !isBehind) continue;
      const shown = evenly(all, limits.portalEventsPerTickMax);
      const told: ToldTelemetry = {
        ...written(shown, partition),
        leftOut: all.length - shown.length + behind,
        skipped: isBehind,
        recent: false,
      };
      for (const listener of listeners) listener(told);
    }
    log.giveBack(runs);
  }

  /** What came before `next`: what the page lacks, or the newest few. */
  async #recent(
    { source: { log, partition } }: WatchedPartition,
    deviceId: string,
    next: number,
    after: number | undefined,
  ): Promise<ToldTelemetry | undefined> {
    const { firstSequence } = await log.partition(partition);
    const wanted = after === undefined ? next - limits.portalRecentRecordsMax : after + 1;
    const begin = Math.max(firstSequence, wanted, next - limits.portalRecentRecordsMax);
    const found: Found[] = [];
    let leftOut = 0;
    let at = begin;
    for (let reads = 0; at < next && reads < limits.portalRecentReadsMax; reads++) {
      const runs = await log.read(partition, at, limits.portalReadBytesMax);
      if (runs.length === 0) break;
      for (const run of runs) {
        each(run, (one) => {
          if (one.sequence >= next || deviceOfRecord(one.bytes, one.start, one.end) !== deviceId) return;
          // Kept over the next reading: a copy.
          found.push({
            ...one,
            bytes: Buffer.from(one.bytes.subarray(one.start, one.end)),
            start: 0,
            end: one.end - one.start,
          });
          if (found.length > limits.portalRecentMax) {
            found.shift();
            leftOut++;
          }
        });
        at = run.firstSequence + run.count;
      }
      log.giveBack(runs);
    }
    if (found.length === 0) return undefined;
    const isSkipped = after !== undefined && begin > after + 1;
    return {
      ...written(found, partition),
      leftOut: after === undefined ? 0 : leftOut,
      skipped: isSkipped,
      recent: true,
    };
  }
}

/** The newest messages of all devices, once in a tick, read from the end of each partition: what is between is only counted. */
export class FleetFeed {
  readonly #log: Log;
  readonly #listeners = new Set<TelemetryListener>();
  #partitions: { readonly source: EventSource; next: number; readonly unwatch: () => void }[] = [];
  #isReading = false;

  constructor(log: Log) {
    this.#log = log;
  }

  /** @param sources all partitions, opened with the right to read them */
  watch(sources: readonly EventSource[], listener: TelemetryListener): () => void {
    if (this.#listeners.size === 0) {
      this.#partitions = sources.map((source) => ({
        source,
        next: source.log.lastKnown(source.partition).lastSequence + 1,
        unwatch: source.log.watch(source.partition, () => {}),
      }));
    }
    const own: TelemetryListener = (told) => listener(told);
    this.#listeners.add(own);
    return () => {
      if (!this.#listeners.delete(own) || this.#listeners.size > 0) return;
      for (const { unwatch } of this.#partitions) unwatch();
      this.#partitions = [];
    };
  }

  tick(): void {
    if (this.#listeners.size === 0 || this.#isReading) return;
    this.#isReading = true;
    this.#read()
      .catch((error: unknown) => this.#log.warn({ error }, 'the portal could not read the newest events'))
      .finally(() => {
        this.#isReading = false;
      });
  }

  async #read(): Promise<void> {
    const share = Math.max(1, Math.floor(limits.portalEventsPerTickMax / Math.max(1, this.#partitions.length)));
    const shown: ShownEvent[] = [];
    let came = 0;
    for (const watched of this.#partitions) {
      const { log, partition } = watched.source;
      const { lastSequence } = log.lastKnown(partition);
      if (lastSequence < watched.next) continue;
      came += lastSequence + 1 - watched.next;
      const runs = await log.read(
        partition,
        Math.max(watched.next, lastSequence + 1 - share),
        limits.portalReadBytesMax,
      );
      for (const run of runs) {
        each(run, ({ bytes, start, end, sequence, time }) => {
          if (sequence > lastSequence || deviceOfRecord(bytes, start, end) === undefined) return;
          try {
            shown.push(shownEvent(bytes, start, end, { partition, sequence, time }));
          } catch {
            // As in `written`.
          }
        });
      }
      log.giveBack(runs);
      watched.next = lastSequence + 1;
    }
    if (came === 0) return;
    shown.sort((a, b) => a.enqueuedTime - b.enqueuedTime);
    const events = JSON.stringify(shown);
    const told = { events, lastSequence: -1, leftOut: Math.max(0, came - shown.length), skipped: false, recent: false };
    for (const listener of this.#listeners) listener(told);
  }
}

function each(
  { firstSequence, count, time, bytes, start }: Parameters<EventSource['log']['giveBack']>[0][number],
  tell: (found: Found) => void,
): void {
  let at = start;
  for (let sequence = firstSequence; sequence < firstSequence + count; sequence++) {
    const from = at + 4;
    at = from + bytes.readUInt32LE(at);
    tell({ bytes, start: from, end: at, sequence, time });
  }
}

/** So many of them, at even distances, the newest among them. */
export function evenly<T>(all: readonly T[], max: number): readonly T[] {
  if (all.length <= max) return all;
  return Array.from({ length: max }, (_, at) => all[Math.ceil(((at + 1) * all.length) / max) - 1]);
}

function written(found: readonly Found[], partition: number): Pick<ToldTelemetry, 'events' | 'lastSequence'> {
  const events: ShownEvent[] = [];
  for (const { bytes, start, end, sequence, time } of found) {
    try {
      events.push(shownEvent(bytes, start, end, { partition, sequence, time }));
    } catch {
      // A record that cannot be read is the log's to tell of; its readers get it as it is.
    }
  }
  return { events: JSON.stringify(events), lastSequence: found.at(-1)?.sequence ?? -1 };
}
