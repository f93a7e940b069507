/** The bytes that a file has of one column of a row group: pages of version 2, compressed by Zstandard, and what the file's end says of them. */
import { constants, zstdCompressSync } from 'node:zlib';
import type { ColumnChunk, Encoding, ParquetType } from 'hyparquet';
import type { ByteWriter } from 'hyparquet-writer';
import { writePageHeader } from 'hyparquet-writer/src/datapage.js';
import type { PageIndexes } from 'hyparquet-writer/src/types.js';
import { bitsOf, packRuns } from './pack-numbers.ts';
import { type PageEnd, PlainValues } from './plain-values.ts';

/** Of zstd. 3 took 0.4 µs an event more, and more room: 26.8 instead of 24.5 bytes an event of the bench, 48.5 instead of 45.2 of nested bodies. */
const COMPRESSION_LEVEL = 1;

/** Of each value, or place of a row without one, Parquet's levels; `max` = the level of one that is there. */
export interface Levels {
  readonly definition: Uint8Array;
  readonly definitionMax: number;
  /** 0 = the first of its row; absent = each row has one. */
  readonly repetition?: Uint8Array;
}

export interface ColumnFacts {
  readonly path: readonly string[];
  readonly type: ParquetType;
  /** Absent = the column says none. */
  readonly bounds?: { readonly least: string | number | Buffer; readonly greatest: string | number | Buffer };
  readonly saysBounds: boolean;
  /** Absent = every row has a value. */
  readonly levels?: Levels;
  readonly rows: number;
}

interface Page {
  readonly values: Uint8Array;
  readonly end: PageEnd;
}

const START: PageEnd = { slots: 0, present: 0, rows: 0, bytes: 0 };

/** A column of one page, of values that are encoded by now. */
export function writeWhole(out: ByteWriter, facts: ColumnFacts, encoding: Encoding, values: Uint8Array): PageIndexes {
  const { rows } = facts;
  const end = { slots: rows, present: rows, rows, bytes: values.length };
  return writeChunk(out, facts, encoding, [{ values, end }]);
}

export function writePlain(out: ByteWriter, facts: ColumnFacts, plain: PlainValues): PageIndexes {
  const { bytes, pages } = plain;
  let from = 0;
  const cut = pages.map((end) => {
    const values = bytes.subarray(from, end.bytes);
    from = end.bytes;
    return { values, end };
  });
  return writeChunk(out, facts, 'PLAIN', cut);
}

/**
 * Values of a dictionary, or PLAIN where that is not half as large.
 * @param indexes of each value, or place of a row without one (-1)
 */
export function writeIndexed(
  out: ByteWriter,
  facts: ColumnFacts,
  dictionary: readonly Buffer[],
  indexes: Int32Array,
): PageIndexes {
  const sizes = Int32Array.from(dictionary, ({ length }) => 4 + length);
  let plainBytes = 0;
  let present = 0;
  for (let nth = 0; nth < indexes.length; nth++) {
    if (indexes[nth] === -1) continue;
    present++;
    plainBytes += sizes[indexes[nth]];
  }
  const width = bitsOf(Math.max(0, dictionary.length - 1));
  const dictionaryBytes = dictionary.reduce((sum, { length }) => sum + 4 + length, (present * width) / 8);
  const repetition = facts.levels?.repetition;
  if (present === 0 || 2 * dictionaryBytes > plainBytes) {
    const plain = new PlainValues();
    for (let nth = 0; nth < indexes.length; nth++) {
      plain.add(
        indexes[nth] === -1 ? undefined : dictionary[indexes[nth]],
        repetition === undefined || repetition[nth] === 0,
      );
    }
    return writePlain(out, facts, plain);
  }
  const runs = packRuns(present === indexes.length ? indexes : indexes.filter((index) => index !== -1), width);
  const values = new Uint8Array(1 + runs.length);
  values[0] = width;
  values.set(runs, 1);
  const end = { slots: indexes.length, present, rows: facts.rows, bytes: values.length };
  return writeChunk(out, facts, 'RLE_DICTIONARY', [{ values, end }], dictionary);
}

function writeChunk(
  out: ByteWriter,
  facts: ColumnFacts,
  encoding: Encoding,
  pages: readonly Page[],
  dictionary?: readonly Buffer[],
): PageIndexes {
  const start = out.offset;
  let bytes = dictionary === undefined ? 0 : writeDictionary(out, dictionary);
  const data = out.offset;
  const locations = pages.map(({ values, end }, nth) => {
    const from = pages[nth - 1]?.end ?? START;
    const offset = BigInt(out.offset);
    bytes += writePage(out, facts.levels, encoding, values, from, end);
    const size = out.offset - Number(offset);
    return { offset, compressed_page_size: size, first_row_index: BigInt(from.rows) };
  });
  const { slots, present } = pages[pages.length - 1].end;
  const chunk: ColumnChunk = {
    meta_data: {
      type: facts.type,
      encodings: dictionary === undefined ? [encoding] : ['PLAIN', encoding],
      path_in_schema: [...facts.path],
      codec: 'ZSTD',
      num_values: BigInt(slots),
      total_compressed_size: BigInt(out.offset - start),
      total_uncompressed_size: BigInt(bytes),
      data_page_offset: BigInt(data),
      ...(dictionary !== undefined && { dictionary_page_offset: BigInt(start) }),
      ...(facts.saysBounds && {
        statistics: {
          ...(facts.bounds && { min_value: facts.bounds.least, max_value: facts.bounds.greatest }),
          null_count: BigInt(slots - present),
        },
        encoding_stats: [
          ...(dictionary === undefined
            ? []
            : [{ page_type: 'DICTIONARY_PAGE' as const, encoding: 'PLAIN' as const, count: 1 }]),
          { page_type: 'DATA_PAGE_V2', encoding, count: pages.length },
        ],
      }),
    },
    file_offset: BigInt(start),
  };
  return { chunk, ...(pages.length > 1 && { offsetIndex: { page_locations: locations } }) };
}

/** @returns bytes before compression, as `writePage` */
function writeDictionary(out: ByteWriter, dictionary: readonly Buffer[]): number {
  const plain = new PlainValues();
  for (const value of dictionary) plain.add(value);
  const { bytes } = plain;
  const packed = compress(bytes);
  const start = out.offset;
  writePageHeader(out, {
    type: 'DICTIONARY_PAGE',
    uncompressed_page_size: bytes.length,
    compressed_page_size: packed.length,
    dictionary_page_header: { num_values: dictionary.length, encoding: 'PLAIN' },
  });
  const head = out.offset - start;
  out.appendBytes(packed);
  return head + bytes.length;
}

function writePage(
  out: ByteWriter,
  levels: Levels | undefined,
  encoding: Encoding,
  values: Uint8Array,
  from: PageEnd,
  end: PageEnd,
): number {
  const packed = compress(values);
  const none = Buffer.alloc(0);
  const part = (of: Uint8Array): Uint8Array => of.subarray(from.slots, end.slots);
  const repetition = levels?.repetition === undefined ? none : packRuns(part(levels.repetition), 1);
  const definition = levels === undefined ? none : packRuns(part(levels.definition), bitsOf(levels.definitionMax));
  const levelBytes = repetition.length + definition.length;
  const start = out.offset;
  writePageHeader(out, {
    type: 'DATA_PAGE_V2',
    uncompressed_page_size: levelBytes + values.length,
    compressed_page_size: levelBytes + packed.length,
    data_page_header_v2: {
      num_values: end.slots - from.slots,
      num_nulls: end.slots - from.slots - (end.present - from.present),
      num_rows: end.rows - from.rows,
      encoding,
      definition_levels_byte_length: definition.length,
      repetition_levels_byte_length: repetition.length,
      is_compressed: true,
    },
  });
  const head = out.offset - start;
  out.appendBytes(repetition);
  out.appendBytes(definition);
  out.appendBytes(packed);
  return head + levelBytes + values.length;
}

function compress(bytes: Uint8Array): Uint8Array {
  return zstdCompressSync(bytes, {
    params: { [constants.ZSTD_c_compressionLevel]: COMPRESSION_LEVEL },
    pledgedSrcSize: bytes.length,
    // In one piece: it would be put together from pieces of 16 KiB.
    chunkSize: Math.max(64, Math.ceil(bytes.length / 2)),
  });
}
