import { EventLogCorruption } from '../../event-log/errors.ts';
import {
  BATCH_BYTES_BOUND,
  BATCH_FIXED_BYTES,
  BATCH_MAGIC,
  batchLength,
  type ParsedBatch,
  parseBatch,
  parseSegmentHeader,
  segmentHeaderBytes,
} from '../../event-log/format.ts';
import type { JournalFile } from './files.ts';
import { addBatch, emptySegment, type Segment } from './segment.ts';

const CHUNK_BYTES = 1024 * 1024;

export interface ScanOptions {
  readonly path: string;
  readonly position: number;
  readonly partitionCount: number;
  /** Bytes of the file that belong to the segment. */
  readonly length: number;
}

export interface ScanResult {
  readonly segment: Segment;
  /** Place of the last sound batch; 0 = there is none. */
  readonly lastAt: number;
  /** Where the first thing stands that is not a sound batch; undefined = all of `length` is sound. */
  readonly faultAt: number | undefined;
  /** Place of a sound batch behind the fault, which makes it corruption and not a torn end. */
  readonly soundAt: number | undefined;
}

/**
 * Reads a segment from its header to its end, or to the first thing that is not a sound batch.
 * @param visit is shown every sound batch, and the segment as it was before it: the batch stands at its `length`.
 * @returns undefined when the header itself is not sound.
 * @throws EventLogCorruption when sound batches do not follow each other.
 */
export async function scanSegment(
  file: JournalFile,
  options: ScanOptions,
  visit: (batch: ParsedBatch, before: Segment) => void = () => {},
): Promise<ScanResult | undefined> {
  const { position, partitionCount, length } = options;
  const headerBytes = segmentHeaderBytes(partitionCount);
  const head = Buffer.alloc(Math.min(headerBytes, length));
  const got = await file.read(head, 0);
  const header = parseSegmentHeader(head.subarray(0, got), position, partitionCount);
  if (header === undefined) return undefined;

  const segment = emptySegment(header, headerBytes);
  const window = new Window(file, length);
  let lastAt = 0;
  while (segment.length < length) {
    const place = segment.length;
    const bytes = await window.at(place, header.salt, position + place);
    const batch = parseBatch(bytes, 0, header.salt, position + place, partitionCount);
    if (batch === undefined) {
      const soundAt = await findSound(window, place + 1, header.salt, position, partitionCount);
      return { segment, lastAt, faultAt: place, soundAt };
    }
    visit(batch, segment);
    take(segment, batch, options);
    lastAt = place;
  }
  return { segment, lastAt, faultAt: undefined, soundAt: undefined };
}

function take(segment: Segment, batch: ParsedBatch, options: ScanOptions): void {
  const counts = new Array<number>(options.partitionCount).fill(0);
  for (const run of batch.runs) {
    if (counts[run.partition] > 0 || run.firstSequence !== segment.end.nextSequences[run.partition]) {
      throw new EventLogCorruption(options.path, segment.length, 'the sequence numbers do not follow those before');
    }
    counts[run.partition] = run.count;
  }
  if (batch.time < segment.lastTime) {
    throw new EventLogCorruption(options.path, segment.length, 'the time is before that of the batch before');
  }
  addBatch(segment, batch, counts);
}

/** The first place from `from` on at which a sound batch begins. */
export async function findSound(
  window: Window,
  from: number,
  salt: Buffer,
  position: number,
  partitionCount: number,
): Promise<number | undefined> {
  for (let at = from; at + BATCH_FIXED_BYTES <= window.length; ) {
    const chunk = await window.read(at, CHUNK_BYTES);
    for (let hit = chunk.indexOf(BATCH_MAGIC); hit !== -1; hit = chunk.indexOf(BATCH_MAGIC, hit + 1)) {
      if (hit + BATCH_FIXED_BYTES > chunk.length) break;
      if (batchLength(chunk, hit, salt, position + at + hit) === undefined) continue;
      const bytes = await window.at(at + hit, salt, position + at + hit);
      if (parseBatch(bytes, 0, salt, position + at + hit, partitionCount) !== undefined) return at + hit;
    }
    at += Math.max(1, chunk.length - BATCH_FIXED_BYTES + 1);
  }
  return undefined;
}

/** Bytes of a file from any place on, read in large pieces. */
export class Window {
  readonly length: number;
  readonly #file: JournalFile;
  #start = 0;
  #bytes: Buffer = Buffer.alloc(0);

  constructor(file: JournalFile, length: number) {
    this.#file = file;
    this.length = length;
  }

  /** Bytes from `place` on: as many as the batch there claims to have, as far as the file goes. */
  async at(place: number, salt: Buffer, position: number): Promise<Buffer> {
    const bytes = await this.read(place, BATCH_FIXED_BYTES);
    const claimed = batchLength(bytes, 0, salt, position) ?? 0;
    return claimed <= bytes.length || claimed > BATCH_BYTES_BOUND ? bytes : this.read(place, claimed);
  }

  /** At least `count` bytes from `place` on, where the file has them. */
  async read(place: number, count: number): Promise<Buffer> {
    const offset = place - this.#start;
    const wanted = Math.min(count, this.length - place);
    if (offset < 0 || offset + wanted > this.#bytes.length) {
      const bytes = Buffer.allocUnsafe(Math.min(Math.max(count, CHUNK_BYTES), this.length - place));
      this.#bytes = bytes.subarray(0, await this.#file.read(bytes, place));
      this.#start = place;
    }
    return this.#bytes.subarray(place - this.#start);
  }
}
