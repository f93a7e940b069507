/** Numbers as Parquet packs them ("Encodings"): small ones in runs or bit by bit, others as packed differences, without BigInt. */

const VALUES_PER_BLOCK = 128;
const PARTS_PER_BLOCK = 4;
const VALUES_PER_PART = VALUES_PER_BLOCK / PARTS_PER_BLOCK;
/** Equal values from which on a run takes less than packed bits. */
const RUN_MIN = 8;
const VARINT_BYTES_MAX = 8;
/** Bits that are put in at once: what waits for its byte, and these, are exact. */
const BITS_AT_ONCE = 24;

/** Bits that the greatest of these numbers takes. */
export const bitsOf = (greatest: number): number => (greatest === 0 ? 0 : Math.floor(Math.log2(greatest)) + 1);

/** The RLE and bit-packing hybrid, without a length before it. @param width bits of a value, at most 24 */
export function packRuns(values: Uint8Array | Int32Array, width: number): Buffer {
  const runBytes = VARINT_BYTES_MAX + Math.max(4, width);
  const out = new Packer((values.length / RUN_MIN + 1) * runBytes);
  let packedFrom = 0;
  let at = 0;
  const endPacked = (): void => {
    if (at === packedFrom) return;
    out.varint((((at - packedFrom) / RUN_MIN) << 1) | 1);
    for (let nth = packedFrom; nth < at; nth++) out.bits(nth < values.length ? values[nth] : 0, width);
  };
  while (at < values.length) {
    let end = at + 1;
    while (end < values.length && values[end] === values[at]) end++;
    if (end - at < RUN_MIN) {
      at += RUN_MIN;
      continue;
    }
    endPacked();
    out.varint((end - at) * 2);
    out.bits(values[at], Math.ceil(width / 8) * 8);
    at = end;
    packedFrom = at;
  }
  endPacked();
  return out.taken();
}

/** DELTA_BINARY_PACKED. Values are integers, which differ by less than 2^44: readers are exact up to there. */
export function packDifferences(values: Float64Array): Buffer {
  const blocks = Math.ceil(values.length / VALUES_PER_BLOCK);
  const out = new Packer(5 * VARINT_BYTES_MAX + blocks * (VARINT_BYTES_MAX + PARTS_PER_BLOCK + VALUES_PER_BLOCK * 8));
  out.varint(VALUES_PER_BLOCK);
  out.varint(PARTS_PER_BLOCK);
  out.varint(values.length);
  out.zigzag(values[0] ?? 0);
  const differences = new Float64Array(VALUES_PER_BLOCK);
  for (let from = 1; from < values.length; from += VALUES_PER_BLOCK) {
    const count = Math.min(VALUES_PER_BLOCK, values.length - from);
    let least = Number.POSITIVE_INFINITY;
    for (let nth = 0; nth < count; nth++) {
      const difference = values[from + nth] - values[from + nth - 1];
      differences[nth] = difference;
      if (difference < least) least = difference;
    }
    differences.fill(least, count);
    out.zigzag(least);
    const widths = [0, 0, 0, 0];
    for (let part = 0; part < PARTS_PER_BLOCK; part++) {
      let greatest = 0;
      for (let nth = part * VALUES_PER_PART; nth < (part + 1) * VALUES_PER_PART; nth++) {
        if (differences[nth] - least > greatest) greatest = differences[nth] - least;
      }
      widths[part] = bitsOf(greatest);
      out.bits(widths[part], 8);
    }
    for (let nth = 0; nth < VALUES_PER_BLOCK; nth++) {
      const width = widths[Math.floor(nth / VALUES_PER_PART)];
      if (width > 0) out.bits(differences[nth] - least, width);
    }
  }
  return out.taken();
}

/** Bits behind each other, the lowest first. Whoever uses it puts whole bytes between varints. */
class Packer {
  readonly #bytes: Buffer;
  #at = 0;
  /** Bits that are no whole byte yet, and how many. */
  #rest = 0;
  #restBits = 0;

  constructor(bytesMax: number) {
    this.#bytes = Buffer.allocUnsafe(Math.ceil(bytesMax));
  }

  varint(value: number): void {
    let left = value;
    for (; left >= 0x80; left = Math.floor(left / 0x80)) this.#bytes[this.#at++] = (left % 0x80) + 0x80;
    this.#bytes[this.#at++] = left;
  }

  zigzag(value: number): void {
    this.varint(value < 0 ? -value * 2 - 1 : value * 2);
  }

  bits(value: number, width: number): void {
    if (width > BITS_AT_ONCE) {
      this.bits(value % 2 ** BITS_AT_ONCE, BITS_AT_ONCE);
      this.bits(Math.floor(value / 2 ** BITS_AT_ONCE), width - BITS_AT_ONCE);
      return;
    }
    let rest = this.#rest | (value << this.#restBits);
    let bits = this.#restBits + width;
    let at = this.#at;
    for (; bits >= 8; bits -= 8) {
      this.#bytes[at++] = rest;
      rest >>>= 8;
    }
    this.#rest = rest;
    this.#restBits = bits;
    this.#at = at;
  }

  taken(): Buffer {
    return this.#bytes.subarray(0, this.#at);
  }
}
