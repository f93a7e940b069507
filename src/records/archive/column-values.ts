/**
 * Values of one column of a row group, from the bytes that the file has of it. Values of bytes stay where they were unpacked:
 * an object for each would cost more than all the rest. Only what the archive writes is read: pages of version 2, values PLAIN, by a
 * dictionary, or as packed differences (Parquet's "Encodings").
 */
import { zstdDecompressSync } from 'node:zlib';
import type { PageHeader } from 'hyparquet';
import { parquetHeader } from 'hyparquet/src/column.js';
import { readRleBitPackedHybrid } from 'hyparquet/src/encoding.js';
import { limits } from '../../base/limits.ts';
import { readDifferences } from './differences.ts';

/** Where a column's bytes are, from the file's start; `end` is exclusive. Plain data: it may go to another thread. */
export interface ColumnPlace {
  readonly name: string;
  readonly start: number;
  readonly end: number;
  readonly isOptional: boolean;
}

/** The value of row `n` lies from `starts[n]` to `ends[n]` of `pages[pageOf[n]]`; both are -1 where the row has none. */
export interface BytesColumn {
  readonly pages: readonly Buffer[];
  readonly pageOf: Uint32Array;
  readonly starts: Int32Array;
  readonly ends: Int32Array;
}

type Places = Pick<BytesColumn, 'starts' | 'ends'>;

/** @throws Error the bytes are damaged, or not as the archive writes them */
export function readBytesColumn(place: ColumnPlace, bytes: Buffer, rows: number): BytesColumn {
  const starts = new Int32Array(rows).fill(-1);
  const ends = new Int32Array(rows).fill(-1);
  const pages: Buffer[] = [];
  const pageOf = new Uint32Array(rows);
  let dictionary: Places | undefined;
  let dictionaryAt = 0;
  let row = 0;
  for (const page of pagesOf(place, bytes)) {
    if (page.kind === 'dictionary') {
      dictionary = plainPlaces(place, page.values, page.count);
      dictionaryAt = pages.push(page.values) - 1;
      continue;
    }
    if (row + page.count > rows) throw damaged(place, 'it has too many values');
    const isPlain = page.encoding === 'PLAIN';
    const from = isPlain ? plainPlaces(place, page.values, page.present) : dictionary;
    const pageAt = isPlain ? pages.push(page.values) - 1 : dictionaryAt;
    if (from === undefined) throw damaged(place, 'it has no dictionary');
    const chosen = isPlain ? undefined : dictionaryIndexes(place, page);
    let next = 0;
    for (let nth = 0; nth < page.count; nth++, row++) {
      if (page.levels !== undefined && page.levels[nth] === 0) continue;
      const index = chosen === undefined ? next : chosen[next];
      next++;
      if (!(index < from.starts.length)) throw damaged(place, 'a value is not in its dictionary');
      starts[row] = from.starts[index];
      ends[row] = from.ends[index];
      pageOf[row] = pageAt;
    }
    if (next !== page.present) throw damaged(place, 'it has another number of values');
  }
  if (row !== rows) throw damaged(place, `it has ${row} values for ${rows} rows`);
  return { pages, pageOf, starts, ends };
}

/** @throws Error as `readBytesColumn` */
export function readNumbers(place: ColumnPlace, bytes: Buffer, rows: number): Float64Array {
  const values = new Float64Array(rows);
  let row = 0;
  for (const page of pagesOf(place, bytes)) {
    if (page.kind === 'dictionary' || page.encoding !== 'DELTA_BINARY_PACKED') throw unknown(place);
    if (row + page.count > rows) throw damaged(place, 'it has too many values');
    readDifferences(page.values, values.subarray(row, row + page.count));
    row += page.count;
  }
  if (row !== rows) throw damaged(place, `it has ${row} values for ${rows} rows`);
  return values;
}

/** 1 = true. @throws Error as `readBytesColumn` */
export function readBooleans(place: ColumnPlace, bytes: Buffer, rows: number): Uint8Array {
  const values = new Uint8Array(rows);
  let row = 0;
  for (const page of pagesOf(place, bytes)) {
    if (page.kind === 'dictionary' || (page.encoding !== 'RLE' && page.encoding !== 'PLAIN')) throw unknown(place);
    if (row + page.count > rows) throw damaged(place, 'it has too many values');
    const part = values.subarray(row, row + page.count);
    if (page.encoding === 'RLE') readRleBitPackedHybrid({ view: viewOf(page.values), offset: 0 }, 1, part);
    else for (let nth = 0; nth < page.count; nth++) part[nth] = (page.values[nth >>> 3] >>> (nth & 7)) & 1;
    row += page.count;
  }
  if (row !== rows) throw damaged(place, `it has ${row} values for ${rows} rows`);
  return values;
}

interface DictionaryPage {
  readonly kind: 'dictionary';
  readonly count: number;
  readonly values: Buffer;
}

interface DataPage {
  readonly kind: 'data';
  /** Of rows, and those of them that have a value. */
  readonly count: number;
  readonly present: number;
  readonly encoding: string;
  /** Of each row, whether it has a value; undefined = all have one. */
  readonly levels: Uint8Array | undefined;
  readonly values: Buffer;
}

function* pagesOf(place: ColumnPlace, bytes: Buffer): Generator<DictionaryPage | DataPage> {
  const reader = { view: viewOf(bytes), offset: 0 };
  let left: number = limits.historyGroupBytesMax;
  while (reader.offset < bytes.length) {
    const header = parquetHeader(reader);
    left -= header.uncompressed_page_size;
    if (!(left >= 0)) throw damaged(place, 'it has more bytes than the archive writes');
    const start = reader.offset;
    const end = start + header.compressed_page_size;
    if (!(end >= start && end <= bytes.length)) throw damaged(place, 'a page ends behind it');
    reader.offset = end;
    const page = bytes.subarray(start, end);
    const { dictionary_page_header: dictionary } = header;
    if (header.type === 'DICTIONARY_PAGE' && dictionary !== undefined) {
      const values = unpacked(place, page, header.uncompressed_page_size);
      yield { kind: 'dictionary', count: dictionary.num_values, values };
    } else {
      yield dataPage(place, header, page);
    }
  }
}

function dataPage(place: ColumnPlace, header: PageHeader, page: Buffer): DataPage {
  const facts = header.data_page_header_v2;
  if (header.type !== 'DATA_PAGE_V2' || facts === undefined) throw unknown(place);
  const { num_values: count, num_nulls: absent, definition_levels_byte_length: levelsEnd } = facts;
  const isSound = count >= 0 && absent >= 0 && absent <= count && levelsEnd >= 0 && levelsEnd <= page.length;
  if (!isSound || facts.repetition_levels_byte_length !== 0) throw damaged(place, 'a page is not as it says');
  let levels: Uint8Array | undefined;
  if (place.isOptional && absent > 0) {
    if (count > limits.archiveGroupRows) throw damaged(place, 'it has too many values');
    levels = new Uint8Array(count);
    if (absent < count) readRleBitPackedHybrid({ view: viewOf(page), offset: 0 }, 1, levels, levelsEnd);
  }
  const packed = page.subarray(levelsEnd);
  const size = header.uncompressed_page_size - levelsEnd;
  const values = facts.is_compressed === false ? packed : unpacked(place, packed, size);
  return { kind: 'data', count, present: count - absent, encoding: facts.encoding, levels, values };
}

function unpacked(place: ColumnPlace, packed: Buffer, size: number): Buffer {
  if (!(size >= 0 && size <= limits.historyGroupBytesMax)) throw damaged(place, `a page of ${size} bytes`);
  if (size === 0) return Buffer.alloc(0);
  // In one piece: the library would put together pieces of 16 KiB. Where no byte is left over, it makes ready for a second one.
  const values = zstdDecompressSync(packed, { chunkSize: Math.max(64, size + 1), maxOutputLength: size });
  if (values.length !== size) throw damaged(place, 'a page has another length');
  return values;
}

/** Values that lie behind each other, a length before each. */
function plainPlaces(place: ColumnPlace, values: Buffer, count: number): Places {
  if (!(count >= 0 && count * 4 <= values.length)) throw damaged(place, 'a page has too few bytes');
  const starts = new Int32Array(count);
  const ends = new Int32Array(count);
  let at = 0;
  for (let nth = 0; nth < count; nth++) {
    if (at + 4 > values.length) throw damaged(place, 'a page has too few bytes');
    const length = values[at] | (values[at + 1] << 8) | (values[at + 2] << 16) | (values[at + 3] << 24);
    at += 4;
    if (length < 0 || at + length > values.length) throw damaged(place, 'a value ends behind its page');
    starts[nth] = at;
    at += length;
    ends[nth] = at;
  }
  return { starts, ends };
}

function dictionaryIndexes(place: ColumnPlace, { encoding, present, values }: DataPage): Int32Array {
  if (encoding !== 'RLE_DICTIONARY') throw unknown(place);
  const indexes = new Int32Array(present);
  const width = values[0] ?? 0;
  if (width > 31) throw damaged(place, `an index of ${width} bits`);
  if (width > 0) readRleBitPackedHybrid({ view: viewOf(values), offset: 1 }, width, indexes, values.length - 1);
  return indexes;
}

const viewOf = ({ buffer, byteOffset, byteLength }: Buffer): DataView => new DataView(buffer, byteOffset, byteLength);

const damaged = ({ name }: ColumnPlace, why: string): Error =>
  new Error(`the Parquet file is damaged in the column ${name}: ${why}`);

const unknown = ({ name }: ColumnPlace): Error =>
  new Error(`the Parquet file has the column ${name} in a form that the archive does not write`);
