import path from 'node:path';
import { limits } from '../../../base/limits.ts';
import type { ParsedBatch, PartitionState } from '../../event-log/format.ts';
import { type SegmentSummary, SparseIndex } from './sparse-index.ts';

/**
 * One segment as the running log knows it: its summary, which grows with the last one, and the sparse index where it is in
 * memory (always for the last one and for one without an index file; for the others it is read when a reader needs it).
 */
export interface Segment {
  readonly salt: Buffer;
  readonly position: number;
  readonly begin: PartitionState;
  /** Bytes that count: all durable batches and the header. Behind it nothing is read. */
  length: number;
  /** UTC milliseconds of the first and the last batch; 0 = no batch yet. */
  firstTime: number;
  lastTime: number;
  /** Running time by which its last batch was written (`age.ts`); 0 until the journal has stamped it. */
  writtenAt: number;
  readonly end: { readonly nextSequences: number[]; readonly lastTimes: number[] };
  index: SparseIndex | undefined;
}

export function emptySegment(
  header: PartitionState & { readonly salt: Buffer; readonly position: number },
  headerBytes: number,
): Segment {
  const { salt, position, nextSequences, lastTimes } = header;
  return {
    salt,
    position,
    begin: { nextSequences: [...nextSequences], lastTimes: [...lastTimes] },
    length: headerBytes,
    firstTime: 0,
    lastTime: 0,
    writtenAt: 0,
    end: { nextSequences: [...nextSequences], lastTimes: [...lastTimes] },
    index: new SparseIndex(nextSequences.length),
  };
}

export function segmentOf(summary: SegmentSummary): Segment {
  const { salt, position, length, firstTime, lastTime, begin } = summary;
  const end = { nextSequences: [...summary.end.nextSequences], lastTimes: [...summary.end.lastTimes] };
  return { salt, position, begin, length, firstTime, lastTime, writtenAt: 0, end, index: undefined };
}

/** Takes a durable batch, which begins at the segment's end, into the segment's knowledge. */
export function addBatch(
  segment: Segment,
  batch: Pick<ParsedBatch, 'length' | 'time'>,
  counts: ArrayLike<number>,
): void {
  const { index, end } = segment;
  if (index !== undefined && isDue(segment, index)) index.add(segment.length, batch.time, end.nextSequences);
  for (let partition = 0; partition < counts.length; partition++) {
    if (counts[partition] === 0) continue;
    end.nextSequences[partition] += counts[partition];
    end.lastTimes[partition] = batch.time;
  }
  if (segment.firstTime === 0) segment.firstTime = batch.time;
  segment.lastTime = batch.time;
  segment.length += batch.length;
}

function isDue(segment: Segment, index: SparseIndex): boolean {
  return index.count === 0 || segment.length - index.place(index.count - 1) >= limits.journalExtentBytes;
}

export function hasBatches(segment: Segment): boolean {
  return segment.lastTime !== 0;
}

/** Whether `next` begins where `before` ends, in bytes and in sequence numbers. */
export function follows(before: Segment, next: Segment): boolean {
  return (
    before.position + before.length === next.position &&
    before.end.nextSequences.every((sequence, partition) => sequence === next.begin.nextSequences[partition])
  );
}

export const journalName = (position: number): string => `${String(position).padStart(20, '0')}.journal`;
export const indexName = (position: number): string => `${String(position).padStart(20, '0')}.index`;
export const journalPath = (folder: string, position: number): string => path.join(folder, journalName(position));
export const indexPath = (folder: string, position: number): string => path.join(folder, indexName(position));

/** Positions of all files in `names` that are called `<position>.<kind>`, ascending. */
export function positionsOf(names: readonly string[], kind: 'journal' | 'index'): readonly number[] {
  const found: number[] = [];
  for (const name of names) {
    const match = /^(\d{20})\.(journal|index)$/.exec(name);
    if (match !== null && match[2] === kind) found.push(Number(match[1]));
  }
  return found.sort((a, b) => a - b);
}
