/** Numbers as Parquet packs their differences (DELTA_BINARY_PACKED), without BigInt: those of the archive are below 2^53. */
import { readVarInt, readZigZagBigInt } from 'hyparquet/src/thrift.js';

/** More values than a block of any writer has. */
const BLOCK_VALUES_MAX = 65_536;

/** Fills `values`, all of them. @throws Error, RangeError the page is damaged, or a number is greater */
export function readDifferences(page: Buffer, values: Float64Array): void {
  const { buffer, byteOffset, byteLength } = page;
  const reader = { view: new DataView(buffer, byteOffset, byteLength), offset: 0 };
  const blockValues = readVarInt(reader);
  const parts = readVarInt(reader);
  const total = readVarInt(reader);
  const perPart = blockValues / parts;
  const isSound = blockValues > 0 && blockValues <= BLOCK_VALUES_MAX && parts > 0 && perPart % 8 === 0;
  if (!isSound || total !== values.length) throw new Error('packed differences of the Parquet file are damaged');
  if (total === 0) return;
  let value = Number(readZigZagBigInt(reader));
  values[0] = value;
  for (let nth = 1; nth < total; ) {
    const least = Number(readZigZagBigInt(reader));
    const widths = reader.offset;
    reader.offset += parts;
    for (let part = 0; part < parts && nth < total; part++) {
      const width = page[widths + part];
      const start = reader.offset;
      reader.offset += (width * perPart) / 8;
      if (!(width <= 64 && reader.offset <= page.length)) {
        throw new Error('packed differences of the Parquet file are damaged');
      }
      for (let each = 0; each < perPart && nth < total; each++, nth++) {
        value += least + (width === 0 ? 0 : bitsAt(page, start, each * width, width));
        if (!Number.isSafeInteger(value)) throw new Error('a number of the Parquet file is too great');
        values[nth] = value;
      }
    }
  }
}

/** `width` bits from bit `at` behind `start` on, the lowest first. */
function bitsAt(page: Buffer, start: number, at: number, width: number): number {
  let place = start + (at >>> 3);
  let found = page[place] >>> (at & 7);
  let bits = 8 - (at & 7);
  let weight = 2 ** bits;
  for (; bits < width; bits += 8) {
    found += page[++place] * weight;
    weight *= 256;
  }
  return found % 2 ** width;
}
