/**
 * Reads a damaged segment as far as it can be believed, for `mooring data repair`: which batches are sound, which stretches
 * of bytes are not, and which events stood there. Changes nothing.
 */
import {
  CHECKED_FROM,
  type LostRun,
  type ParsedBatch,
  type PartitionState,
  parseBatch,
} from '../../event-log/format.ts';
import { findSound, type Window } from './scan.ts';

/** Bytes `from` … `to` (exclusive) of the segment, and the events that are lost with them, as far as they are known yet. */
export interface Damage {
  readonly from: number;
  to: number;
  readonly lost: LostRun[];
  /** Enqueued time for what is written in its place. */
  readonly time: number;
  /** Partitions of which nothing has been seen between the damage before and this one. */
  readonly unsureBefore: readonly number[];
}

export interface Salvage {
  readonly damages: readonly Damage[];
  /** Place behind the last sound batch. */
  readonly soundEnd: number;
  /** What is known behind the last sound batch. */
  readonly end: PartitionState;
  /** Partitions of which nothing has been seen since the last damage: they may have lost events that nothing tells of. */
  readonly unsure: readonly number[];
}

export interface SalvageOptions {
  readonly window: Window;
  readonly salt: Buffer;
  readonly position: number;
  readonly begin: PartitionState;
  readonly headerBytes: number;
  /** Bytes of the segment; may be more than the file has. */
  readonly length: number;
}

/**
 * A batch counts when it is whole and stands in its place, and when its numbers go on where the ones before ended; behind
 * a damaged stretch each partition may begin later once, which says what was lost there.
 */
export async function salvageSegment(options: SalvageOptions): Promise<Salvage> {
  const { window, salt, position, begin, headerBytes, length } = options;
  const partitionCount = begin.nextSequences.length;
  const next = [...begin.nextSequences];
  const lastTimes = [...begin.lastTimes];
  let time = Math.max(1, ...lastTimes);
  const damages: Damage[] = [];
  let isOpen = false;
  /** Partitions whose events have been seen since the last damage: from then on their numbers have no gap. */
  const seen = new Set<number>();
  for (let partition = 0; partition < partitionCount; partition++) seen.add(partition);
  const unsure = (): readonly number[] => [...next.keys()].filter((partition) => !seen.has(partition));
  let soundEnd = headerBytes;
  for (let at = headerBytes; at < Math.min(length, window.length); ) {
    const bytes = await window.at(at, salt, position + at);
    const batch = parseBatch(bytes, 0, salt, position + at, partitionCount);
    if (batch !== undefined && at + batch.length <= length && fits(batch, next, time, seen)) {
      const last = damages.at(-1);
      if (isOpen && last !== undefined) last.to = at;
      isOpen = false;
      for (const run of batch.runs) {
        const count = run.firstSequence - next[run.partition];
        if (count > 0) last?.lost.push({ partition: run.partition, firstSequence: next[run.partition], count });
        seen.add(run.partition);
        next[run.partition] = run.firstSequence + run.count;
        lastTimes[run.partition] = batch.time;
      }
      time = batch.time;
      at += batch.length;
      soundEnd = at;
      continue;
    }
    if (!isOpen) damages.push({ from: at, to: length, lost: [], time, unsureBefore: unsure() });
    isOpen = true;
    seen.clear();
    const sound = await findSound(window, at + 1, salt, position, partitionCount);
    if (sound === undefined) break;
    at = sound;
  }
  if (!isOpen && soundEnd < length)
    damages.push({ from: soundEnd, to: length, lost: [], time, unsureBefore: unsure() });
  return { damages, soundEnd, end: { nextSequences: next, lastTimes }, unsure: unsure() };
}

/** Events that are missing between two states of the log. */
export function lostBetween(from: readonly number[], to: readonly number[]): LostRun[] {
  return from.flatMap((firstSequence, partition) => {
    const count = to[partition] - firstSequence;
    return count > 0 ? [{ partition, firstSequence, count }] : [];
  });
}

/**
 * The salt of a segment whose header and index are gone: that of the first whole batch that stands in its place.
 * @param from where the batches begin
 */
export async function findSalt(
  window: Window,
  from: number,
  position: number,
  partitionCount: number,
): Promise<Buffer | undefined> {
  for (let at = from; at + CHECKED_FROM < window.length; at++) {
    const bytes = await window.read(at, 64);
    // Only bytes that may be a batch are looked at closely.
    const hit = bytes.indexOf('MJB1', 0, 'latin1');
    if (hit === -1) {
      at += Math.max(0, bytes.length - 4);
      continue;
    }
    at += hit;
    const head = await window.read(at, 64);
    if (head.length < 24) return undefined;
    const salt = Buffer.from(head.subarray(16, 24));
    const whole = await window.at(at, salt, position + at);
    if (parseBatch(whole, 0, salt, position + at, partitionCount) !== undefined) return salt;
  }
  return undefined;
}

/** The first number of each partition that a sound batch of the segment holds; undefined = none does. */
export async function firstSequences(
  window: Window,
  from: number,
  salt: Buffer,
  position: number,
  partitionCount: number,
): Promise<readonly (number | undefined)[]> {
  const first = new Array<number | undefined>(partitionCount).fill(undefined);
  for (let at: number | undefined = from; at !== undefined && first.includes(undefined); ) {
    const bytes: Buffer = at < window.length ? await window.at(at, salt, position + at) : Buffer.alloc(0);
    const batch = parseBatch(bytes, 0, salt, position + at, partitionCount);
    for (const run of batch?.runs ?? []) first[run.partition] ??= run.firstSequence;
    at = batch === undefined ? await findSound(window, at + 1, salt, position, partitionCount) : at + batch.length;
  }
  return first;
}

function fits(batch: ParsedBatch, next: readonly number[], time: number, seen: ReadonlySet<number>): boolean {
  const inBatch = new Set(batch.runs.map((run) => run.partition));
  return (
    batch.time >= time &&
    inBatch.size === batch.runs.length &&
    batch.runs.every(({ partition, firstSequence }) =>
      seen.has(partition) ? firstSequence === next[partition] : firstSequence >= next[partition],
    )
  );
}
