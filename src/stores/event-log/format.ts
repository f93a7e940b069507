/**
 * The bytes of the journal: segment header, batch, run table. `docs/data-files.md` is their description; nothing here
 * reads or writes a file. A parse answers undefined for anything that is not exactly what was written at that place.
 */
import { crc32 } from 'node:zlib';
import { readUint64LE, writeUint64LE } from '../../base/bytes.ts';
import type { EventRun } from '../../core/events/types.ts';
import { joinChecksums } from './checksum.ts';

export const FORMAT_VERSION = 1;
/** A batch of this version holds no events: it says which ones are lost. Only `mooring data repair` writes it. */
export const GAP_VERSION = 2;
/** The same, with counts that do not fit into 32 bits: the last four bytes of a row hold the upper half. Written where that is needed. */
const WIDE_GAP_VERSION = 3;
const UINT32 = 2 ** 32;
/** No batch of any setting is longer: a bound for what a parse believes of a length field. */
export const BATCH_BYTES_BOUND = 64 * 1024 * 1024;

const SEGMENT_MAGIC = Buffer.from('MJS1', 'latin1');
export const BATCH_MAGIC = Buffer.from('MJB1', 'latin1');
const SEGMENT_FIXED_BYTES = 40;
export const BATCH_FIXED_BYTES = 40;
export const RUN_BYTES = 24;
export const SALT_BYTES = 8;
/** Checksums cover everything from here on. */
export const CHECKED_FROM = 12;

/** What is known of every partition at one place of the journal; both arrays are indexed by partition. */
export interface PartitionState {
  readonly nextSequences: readonly number[];
  /** UTC milliseconds of the last event; 0 = none yet. */
  readonly lastTimes: readonly number[];
}

export interface SegmentHeader extends PartitionState {
  readonly salt: Buffer;
  readonly position: number;
  readonly createdTime: number;
}

export function segmentHeaderBytes(partitionCount: number): number {
  return SEGMENT_FIXED_BYTES + 16 * partitionCount;
}

export function encodeSegmentHeader(header: SegmentHeader): Buffer {
  const partitionCount = header.nextSequences.length;
  const bytes = Buffer.alloc(segmentHeaderBytes(partitionCount));
  SEGMENT_MAGIC.copy(bytes, 0);
  bytes.writeUInt32LE(bytes.length, 4);
  bytes.writeUInt16LE(FORMAT_VERSION, 12);
  bytes.writeUInt16LE(partitionCount, 14);
  header.salt.copy(bytes, 16);
  writeUint64LE(bytes, 24, header.position);
  writeUint64LE(bytes, 32, header.createdTime);
  let at = SEGMENT_FIXED_BYTES;
  for (let partition = 0; partition < partitionCount; partition++) {
    at = writeUint64LE(bytes, at, header.nextSequences[partition]);
    at = writeUint64LE(bytes, at, header.lastTimes[partition]);
  }
  bytes.writeUInt32LE(crc32(bytes.subarray(CHECKED_FROM)), 8);
  return bytes;
}

export function parseSegmentHeader(bytes: Buffer, position: number, partitionCount: number): SegmentHeader | undefined {
  const length = segmentHeaderBytes(partitionCount);
  if (bytes.length < length || bytes.compare(SEGMENT_MAGIC, 0, 4, 0, 4) !== 0) return undefined;
  if (bytes.readUInt32LE(4) !== length || bytes.readUInt16LE(14) !== partitionCount) return undefined;
  if (bytes.readUInt16LE(12) !== FORMAT_VERSION) return undefined;
  if (crc32(bytes.subarray(CHECKED_FROM, length)) !== bytes.readUInt32LE(8)) return undefined;
  if (readUint64LE(bytes, 24) !== position) return undefined;
  const nextSequences: number[] = [];
  const lastTimes: number[] = [];
  for (let at = SEGMENT_FIXED_BYTES; at < length; at += 16) {
    nextSequences.push(readUint64LE(bytes, at));
    lastTimes.push(readUint64LE(bytes, at + 8));
  }
  const salt = Buffer.from(bytes.subarray(16, 16 + SALT_BYTES));
  return { salt, position, createdTime: readUint64LE(bytes, 32), nextSequences, lastTimes };
}

/** Bytes of a run, and their checksum (CRC-32) where it is known already. */
export interface RunPiece {
  readonly bytes: Buffer;
  readonly checksum?: number;
}

/** The runs of a batch as its writers filled them; partitions without events have a count of 0. */
export interface BatchRuns {
  /** Bytes and events of each partition's run. */
  readonly lengths: Readonly<ArrayLike<number>>;
  readonly counts: Readonly<ArrayLike<number>>;
  /** The partition's run, piece by piece. */
  pieces(partition: number): readonly RunPiece[];
}

/**
 * Writes the batch's header and run table into `head` and returns the buffers to write, in order, and their length.
 * `head` has room for a header of all partitions.
 */
export function encodeBatch(
  head: Buffer,
  batch: BatchRuns,
  place: { readonly salt: Buffer; readonly position: number; readonly time: number },
  nextSequences: readonly number[],
): { readonly buffers: readonly Buffer[]; readonly length: number } {
  const pieces: RunPiece[] = [];
  let at = BATCH_FIXED_BYTES;
  let runs = 0;
  let runBytes = 0;
  for (let partition = 0; partition < batch.counts.length; partition++) {
    if (batch.counts[partition] === 0) continue;
    head.writeUInt32LE(partition, at);
    head.writeUInt32LE(batch.counts[partition], at + 4);
    writeUint64LE(head, at + 8, nextSequences[partition]);
    head.writeUInt32LE(batch.lengths[partition], at + 16);
    head.writeUInt32LE(0, at + 20);
    at += RUN_BYTES;
    runs++;
    runBytes += batch.lengths[partition];
    pieces.push(...batch.pieces(partition));
  }
  BATCH_MAGIC.copy(head, 0);
  head.writeUInt32LE(at + runBytes, 4);
  head.writeUInt16LE(FORMAT_VERSION, 12);
  head.writeUInt16LE(runs, 14);
  place.salt.copy(head, 16);
  writeUint64LE(head, 24, place.position);
  writeUint64LE(head, 32, place.time);
  let checksum = crc32(head.subarray(CHECKED_FROM, at));
  for (const { bytes, checksum: known } of pieces) {
    checksum = known === undefined ? crc32(bytes, checksum) : joinChecksums(checksum, known, bytes.length);
  }
  head.writeUInt32LE(checksum, 8);
  return { buffers: [head.subarray(0, at), ...pieces.map(({ bytes }) => bytes)], length: at + runBytes };
}

/** Numbers of one partition whose events are lost. */
export interface LostRun {
  readonly partition: number;
  readonly firstSequence: number;
  readonly count: number;
}

/** A batch of exactly `length` bytes that stands for lost events; zeros fill what its rows leave over. */
export function encodeGap(
  lost: readonly LostRun[],
  length: number,
  place: { readonly salt: Buffer; readonly position: number; readonly time: number },
): Buffer {
  const bytes = Buffer.alloc(length);
  BATCH_MAGIC.copy(bytes, 0);
  bytes.writeUInt32LE(length, 4);
  bytes.writeUInt16LE(lost.some(({ count }) => count >= UINT32) ? WIDE_GAP_VERSION : GAP_VERSION, 12);
  bytes.writeUInt16LE(lost.length, 14);
  place.salt.copy(bytes, 16);
  writeUint64LE(bytes, 24, place.position);
  writeUint64LE(bytes, 32, place.time);
  let at = BATCH_FIXED_BYTES;
  for (const run of lost) {
    bytes.writeUInt32LE(run.partition, at);
    bytes.writeUInt32LE(run.count % UINT32, at + 4);
    writeUint64LE(bytes, at + 8, run.firstSequence);
    bytes.writeUInt32LE(Math.floor(run.count / UINT32), at + 20);
    at += RUN_BYTES;
  }
  bytes.writeUInt32LE(crc32(bytes.subarray(CHECKED_FROM)), 8);
  return bytes;
}

export interface ParsedBatch {
  readonly length: number;
  readonly time: number;
  readonly runs: readonly ParsedRun[];
}

/** A run as the journal holds it: of events, or of the numbers of events that are lost (then it has no bytes). */
export interface JournalRun extends EventRun {
  readonly lost: boolean;
}

export interface ParsedRun extends JournalRun {
  readonly partition: number;
}

/** The length that a batch at `at` claims, or undefined if no batch of this segment and place begins there. */
export function batchLength(bytes: Buffer, at: number, salt: Buffer, position: number): number | undefined {
  if (at + BATCH_FIXED_BYTES > bytes.length) return undefined;
  if (bytes.compare(BATCH_MAGIC, 0, 4, at, at + 4) !== 0) return undefined;
  if (bytes.compare(salt, 0, SALT_BYTES, at + 16, at + 16 + SALT_BYTES) !== 0) return undefined;
  if (readUint64LE(bytes, at + 24) !== position) return undefined;
  const length = bytes.readUInt32LE(at + 4);
  return length < BATCH_FIXED_BYTES || length > BATCH_BYTES_BOUND ? undefined : length;
}

/**
 * Parses the whole batch at `at`, checksum included. The runs point into `bytes`.
 * @param position the journal position of the batch; a batch that was written elsewhere is not believed.
 */
export function parseBatch(
  bytes: Buffer,
  at: number,
  salt: Buffer,
  position: number,
  partitionCount: number,
): ParsedBatch | undefined {
  const length = batchLength(bytes, at, salt, position);
  if (length === undefined || at + length > bytes.length) return undefined;
  if (crc32(bytes.subarray(at + CHECKED_FROM, at + length)) !== bytes.readUInt32LE(at + 8)) return undefined;
  const version = bytes.readUInt16LE(at + 12);
  if (version < FORMAT_VERSION || version > WIDE_GAP_VERSION) return undefined;
  const lost = version !== FORMAT_VERSION;
  const runCount = bytes.readUInt16LE(at + 14);
  const time = readUint64LE(bytes, at + 32);
  const tableEnd = at + BATCH_FIXED_BYTES + runCount * RUN_BYTES;
  if (runCount > partitionCount || tableEnd > at + length) return undefined;
  const runs: ParsedRun[] = [];
  let start = tableEnd;
  for (let row = at + BATCH_FIXED_BYTES; row < tableEnd; row += RUN_BYTES) {
    const partition = bytes.readUInt32LE(row);
    const end = start + bytes.readUInt32LE(row + 16);
    if (partition >= partitionCount || end > at + length) return undefined;
    const upper = version === WIDE_GAP_VERSION ? bytes.readUInt32LE(row + 20) : 0;
    const count = upper * UINT32 + bytes.readUInt32LE(row + 4);
    runs.push({ partition, firstSequence: readUint64LE(bytes, row + 8), count, time, bytes, start, end, lost });
    if (lost && end !== start) return undefined;
    start = end;
  }
  return lost || start === at + length ? { length, time, runs } : undefined;
}

/**
 * The part of `run` from sequence number `from` on, at most about `bytesMax` bytes but at least one event. The bytes stay
 * where they are.
 */
export function cutRun(run: EventRun, from: number, bytesMax: number): EventRun {
  let { firstSequence, start } = run;
  while (firstSequence < from) {
    start += 4 + run.bytes.readUInt32LE(start);
    firstSequence++;
  }
  const countMax = run.count - (firstSequence - run.firstSequence);
  if (run.end - start <= bytesMax) return { ...run, firstSequence, count: countMax, start };
  let end = start;
  let count = 0;
  while (count < countMax) {
    const next = end + 4 + run.bytes.readUInt32LE(end);
    if (count > 0 && next - start > bytesMax) break;
    end = next;
    count++;
  }
  return { ...run, firstSequence, count, start, end };
}
