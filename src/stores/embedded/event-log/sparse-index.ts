/**
 * Where in a segment an event stands, by sequence number and by time: one entry at the first batch and another whenever
 * enough journal has gone by. The journal between two entries is an **extent**, the unit in which it is read.
 */
import { crc32 } from 'node:zlib';
import { readUint64LE, writeUint64LE } from '../../../base/bytes.ts';
import { CHECKED_FROM, FORMAT_VERSION, type PartitionState, SALT_BYTES } from '../../event-log/format.ts';

const INDEX_MAGIC = Buffer.from('MJI1', 'latin1');
const INDEX_FIXED_BYTES = 64;

export class SparseIndex {
  readonly #partitionCount: number;
  /** Per entry: place, time, next sequence of each partition. */
  readonly #values: number[];

  constructor(partitionCount: number, values: number[] = []) {
    this.#partitionCount = partitionCount;
    this.#values = values;
  }

  get count(): number {
    return this.#values.length / this.#width;
  }

  get values(): readonly number[] {
    return this.#values;
  }

  add(place: number, time: number, nextSequences: readonly number[]): void {
    this.#values.push(place, time, ...nextSequences);
  }

  place(entry: number): number {
    return this.#values[entry * this.#width];
  }

  time(entry: number): number {
    return this.#values[entry * this.#width + 1];
  }

  nextSequence(entry: number, partition: number): number {
    return this.#values[entry * this.#width + 2 + partition];
  }

  /** The entry whose extent holds `sequence`, given that the segment holds it. */
  findSequence(partition: number, sequence: number): number {
    return this.#last((entry) => this.nextSequence(entry, partition) <= sequence);
  }

  /** The last entry whose first batch is older than `time`, or 0: no extent before it holds anything from `time` on. */
  findTime(time: number): number {
    return this.#last((entry) => this.time(entry) < time);
  }

  get #width(): number {
    return 2 + this.#partitionCount;
  }

  /** The last entry for which `holds`, which is true up to some entry and false behind it; 0 if there is none. */
  #last(holds: (entry: number) => boolean): number {
    let low = 0;
    let high = this.count;
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      if (holds(middle)) low = middle;
      else high = middle;
    }
    return low;
  }
}

/** What the index file says of its segment as a whole. */
export interface SegmentSummary {
  readonly salt: Buffer;
  readonly position: number;
  /** Bytes of the segment, header included. */
  readonly length: number;
  readonly firstTime: number;
  readonly lastTime: number;
  readonly begin: PartitionState;
  readonly end: PartitionState;
}

export function summaryBytes(partitionCount: number): number {
  return INDEX_FIXED_BYTES + 32 * partitionCount;
}

export function encodeIndex(summary: SegmentSummary, index: SparseIndex): Buffer {
  const partitionCount = summary.begin.nextSequences.length;
  const head = summaryBytes(partitionCount);
  const bytes = Buffer.alloc(head + 8 * index.values.length);
  let at = head;
  for (const value of index.values) at = writeUint64LE(bytes, at, value);
  INDEX_MAGIC.copy(bytes, 0);
  bytes.writeUInt32LE(head, 4);
  bytes.writeUInt16LE(FORMAT_VERSION, 12);
  bytes.writeUInt16LE(partitionCount, 14);
  summary.salt.copy(bytes, 16);
  writeUint64LE(bytes, 24, summary.position);
  writeUint64LE(bytes, 32, summary.length);
  writeUint64LE(bytes, 40, summary.firstTime);
  writeUint64LE(bytes, 48, summary.lastTime);
  bytes.writeUInt32LE(index.count, 56);
  bytes.writeUInt32LE(crc32(bytes.subarray(head)), 60);
  at = INDEX_FIXED_BYTES;
  for (let partition = 0; partition < partitionCount; partition++) {
    for (const state of [summary.begin, summary.end]) {
      at = writeUint64LE(bytes, at, state.nextSequences[partition]);
      at = writeUint64LE(bytes, at, state.lastTimes[partition]);
    }
  }
  bytes.writeUInt32LE(crc32(bytes.subarray(CHECKED_FROM, head)), 8);
  return bytes;
}

/** Parses the summary, which is enough to start with; `bytes` may end behind it. */
export function parseSummary(bytes: Buffer, position: number, partitionCount: number): SegmentSummary | undefined {
  const head = summaryBytes(partitionCount);
  if (bytes.length < head || bytes.compare(INDEX_MAGIC, 0, 4, 0, 4) !== 0) return undefined;
  if (bytes.readUInt32LE(4) !== head || bytes.readUInt16LE(14) !== partitionCount) return undefined;
  if (bytes.readUInt16LE(12) !== FORMAT_VERSION) return undefined;
  if (crc32(bytes.subarray(CHECKED_FROM, head)) !== bytes.readUInt32LE(8)) return undefined;
  if (readUint64LE(bytes, 24) !== position) return undefined;
  const begin = { nextSequences: [] as number[], lastTimes: [] as number[] };
  const end = { nextSequences: [] as number[], lastTimes: [] as number[] };
  for (let at = INDEX_FIXED_BYTES; at < head; at += 32) {
    begin.nextSequences.push(readUint64LE(bytes, at));
    begin.lastTimes.push(readUint64LE(bytes, at + 8));
    end.nextSequences.push(readUint64LE(bytes, at + 16));
    end.lastTimes.push(readUint64LE(bytes, at + 24));
  }
  return {
    salt: Buffer.from(bytes.subarray(16, 16 + SALT_BYTES)),
    position,
    length: readUint64LE(bytes, 32),
    firstTime: readUint64LE(bytes, 40),
    lastTime: readUint64LE(bytes, 48),
    begin,
    end,
  };
}

/** Parses the entries of a whole index file whose summary is sound. */
export function parseEntries(bytes: Buffer, partitionCount: number): SparseIndex | undefined {
  const head = summaryBytes(partitionCount);
  const end = head + 8 * bytes.readUInt32LE(56) * (2 + partitionCount);
  if (bytes.length !== end || crc32(bytes.subarray(head)) !== bytes.readUInt32LE(60)) return undefined;
  const values: number[] = [];
  for (let at = head; at < end; at += 8) values.push(readUint64LE(bytes, at));
  return new SparseIndex(partitionCount, values);
}
