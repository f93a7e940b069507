/**
 * Compressed records of other programs (attributes of a batch: 1 = gzip, 2 = snappy, 3 = lz4, 4 = zstd). The runtime knows gzip and zstd.
 * Snappy is its block format, by itself or in the frame that Java's library puts around it; lz4 is the frame format of LZ4 1.6. Their
 * own checksums are left out: the checksum of the batch covers everything.
 */
import { gunzipSync, zstdDecompressSync } from 'node:zlib';

/** Bytes that are not what their compression says, or that would become more than they may. */
export class NotInflatable extends Error {
  override readonly name = 'NotInflatable';
}

/**
 * @param bytesMax what the records may become
 * @returns undefined for a compression that is not known
 * @throws NotInflatable, and the runtime's own error
 */
export function inflate(bytes: Buffer, compression: number, bytesMax: number): Buffer | undefined {
  switch (compression) {
    case 1:
      return gunzipSync(bytes, { maxOutputLength: bytesMax });
    case 2:
      return snappy(bytes, bytesMax);
    case 3:
      return lz4(bytes, bytesMax);
    case 4:
      return zstdDecompressSync(bytes, { maxOutputLength: bytesMax });
    default:
      return undefined;
  }
}

/** What was inflated so far; it grows up to a bound. */
class Output {
  readonly #bytesMax: number;
  bytes = Buffer.alloc(0);
  length = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** Room for so many bytes more. */
  need(count: number): void {
    const needed = this.length + count;
    if (needed > this.#bytesMax) throw new NotInflatable(`it would become more than ${this.#bytesMax} bytes`);
    if (needed <= this.bytes.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.min(this.#bytesMax, Math.max(needed, 2 * this.bytes.length)));
    this.bytes.copy(grown, 0, 0, this.length);
    this.bytes = grown;
  }

  literal(source: Buffer, at: number, count: number): void {
    if (at + count > source.length) throw new NotInflatable('it ends within bytes that stand for themselves');
    this.need(count);
    source.copy(this.bytes, this.length, at, at + count);
    this.length += count;
  }

  /** Bytes that have come before; they may reach into what is written here. @param floor where they may begin */
  copy(distance: number, count: number, floor: number): void {
    const from = this.length - distance;
    if (distance === 0 || from < floor) throw new NotInflatable('it copies bytes that have not come before');
    this.need(count);
    if (distance >= count) this.bytes.copyWithin(this.length, from, from + count);
    else for (let at = 0; at < count; at++) this.bytes[this.length + at] = this.bytes[from + at];
    this.length += count;
  }

  done(): Buffer {
    return this.bytes.subarray(0, this.length);
  }
}

/** Java's frame: this, two versions of 32 bits, then blocks behind their lengths of 32 bits, big-endian. */
const JAVA_MAGIC = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0]);
const JAVA_HEAD_BYTES = 16;

function snappy(bytes: Buffer, bytesMax: number): Buffer {
  const output = new Output(bytesMax);
  if (bytes.length < JAVA_HEAD_BYTES || bytes.compare(JAVA_MAGIC, 0, 8, 0, 8) !== 0) {
    snappyBlock(bytes, output);
    return output.done();
  }
  for (let at = JAVA_HEAD_BYTES; at < bytes.length; ) {
    if (at + 4 > bytes.length) throw new NotInflatable('it ends within the length of a block');
    const end = at + 4 + bytes.readUInt32BE(at);
    if (end > bytes.length) throw new NotInflatable('a block leads out of it');
    snappyBlock(bytes.subarray(at + 4, end), output);
    at = end;
  }
  return output.done();
}

/** The length of what it becomes as a varint, then elements: bytes that stand for themselves, and copies of those before. */
function snappyBlock(block: Buffer, output: Output): void {
  let at = 0;
  let size = 0;
  for (let shift = 0; ; shift += 7) {
    if (at >= block.length || shift > 28) throw new NotInflatable('its length cannot be read');
    const byte = block[at++];
    size += (byte & 0x7f) * 2 ** shift;
    if (byte < 0x80) break;
  }
  const floor = output.length;
  // Bounded before anything is written.
  output.need(size);
  const within = (count: number): number => {
    if (at + count > block.length) throw new NotInflatable('it ends within an element');
    at += count;
    return at - count;
  };
  while (at < block.length) {
    const tag = block[at++];
    const kind = tag & 3;
    if (kind === 0) {
      const inTag = tag >>> 2;
      const lengthBytes = inTag - 59;
      const count = 1 + (lengthBytes <= 0 ? inTag : block.readUIntLE(within(lengthBytes), lengthBytes));
      if (output.length + count - floor > size) throw new NotInflatable('it becomes more than it says');
      output.literal(block, within(count), count);
      continue;
    }
    const count = kind === 1 ? 4 + ((tag >>> 2) & 7) : 1 + (tag >>> 2);
    const distance =
      kind === 1
        ? ((tag >>> 5) << 8) | block[within(1)]
        : kind === 2
          ? block.readUInt16LE(within(2))
          : block.readUInt32LE(within(4));
    if (output.length + count - floor > size) throw new NotInflatable('it becomes more than it says');
    output.copy(distance, count, floor);
  }
  if (output.length - floor !== size) throw new NotInflatable('it becomes less than it says');
}

const LZ4_MAGIC = 0x184d2204;
const MATCH_BYTES_MIN = 4;

function lz4(bytes: Buffer, bytesMax: number): Buffer {
  const output = new Output(bytesMax);
  for (let at = 0; at < bytes.length; ) at = lz4Frame(bytes, at, output);
  return output.done();
}

/** @returns the place behind it */
function lz4Frame(bytes: Buffer, start: number, output: Output): number {
  let at = start;
  const within = (count: number): number => {
    if (at + count > bytes.length) throw new NotInflatable('it ends within a frame');
    at += count;
    return at - count;
  };
  if (bytes.readUInt32LE(within(4)) !== LZ4_MAGIC) throw new NotInflatable('it is no frame of lz4');
  const flags = bytes[within(1)];
  if (flags >>> 6 !== 1) throw new NotInflatable('its frame is of another version');
  const has = (bit: number): boolean => (flags & (1 << bit)) !== 0;
  within(1);
  if (has(3)) within(8);
  if (has(0)) throw new NotInflatable('it needs a dictionary');
  // The checksum of the frame's head.
  within(1);
  const floor = output.length;
  for (;;) {
    const word = bytes.readUInt32LE(within(4));
    if (word === 0) break;
    const count = word & 0x7fffffff;
    const block = within(count);
    if (word >= 0x80000000) output.literal(bytes, block, count);
    // Blocks of their own copy nothing of the one before.
    else lz4Block(bytes.subarray(block, block + count), output, has(5) ? output.length : floor);
    if (has(4)) within(4);
  }
  if (has(2)) within(4);
  return at;
}

function lz4Block(block: Buffer, output: Output, floor: number): void {
  let at = 0;
  const next = (): number => {
    if (at >= block.length) throw new NotInflatable('it ends within a block');
    return block[at++];
  };
  const longer = (count: number): number => {
    if (count !== 15) return count;
    let sum = count;
    for (let byte = 255; byte === 255; sum += byte) byte = next();
    return sum;
  };
  while (at < block.length) {
    const token = next();
    const literals = longer(token >>> 4);
    output.literal(block, at, literals);
    at += literals;
    // The last sequence of a block has no copy.
    if (at >= block.length) return;
    const distance = next() | (next() << 8);
    output.copy(distance, longer(token & 15) + MATCH_BYTES_MIN, floor);
  }
}
