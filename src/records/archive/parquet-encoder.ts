/** Files of Parquet: row groups of a bounded number of rows and bytes, compressed by Zstandard. */
import { constants, zstdCompressSync } from 'node:zlib';
import { ByteWriter, ParquetWriter } from 'hyparquet-writer';
import { limits } from '../../base/limits.ts';
import type { ArchiveEncoder } from './encoder.ts';
import { type EventRow, isJsonText } from './event-row.ts';
import { columns, schema, toldSchema } from './parquet-columns.ts';

/** Of zstd: more costs more time than it saves room. */
const COMPRESSION_LEVEL = 3;
/** What columns add to what a message brings, about. */
const ROW_BYTES = 512;

/** @param about is kept in the file under the key `mooring`, as JSON. */
export function parquetEncoder(about: Readonly<Record<string, unknown>>): ArchiveEncoder {
  return new ParquetEncoder(about);
}

class ParquetEncoder implements ArchiveEncoder {
  readonly #out = new PieceWriter();
  readonly #writer: ParquetWriter;
  #values: unknown[][] = columns.map(() => []);
  #rows = 0;
  #bytes = 0;

  constructor(about: Readonly<Record<string, unknown>>) {
    this.#writer = new ParquetWriter({
      writer: this.#out,
      schema,
      codec: 'ZSTD',
      compressors: { ZSTD: compress },
      createdBy: 'mooring',
      kvMetadata: [{ key: 'mooring', value: JSON.stringify(about) }],
    });
  }

  add(row: EventRow): void {
    const isJson = isJsonText(row.body);
    const values = this.#values;
    for (let at = 0; at < columns.length; at++) values[at].push(columns[at].value(row, isJson));
    this.#rows++;
    this.#bytes += bytesOf(row);
    if (this.#rows === limits.archiveGroupRows || this.#bytes >= limits.archiveGroupBytes) this.#endGroup();
  }

  take(): Uint8Array<ArrayBuffer>[] {
    return this.#out.take();
  }

  finish(): Uint8Array<ArrayBuffer>[] {
    if (this.#rows > 0) this.#endGroup();
    this.#writer.schema = toldSchema;
    this.#writer.finish();
    return this.#out.take();
  }

  #endGroup(): void {
    this.#writer.write({
      rowGroupSize: this.#rows,
      columnData: columns.map(({ name, encoding, statistics }, at) => ({
        name,
        statistics,
        data: this.#values[at],
        ...(encoding !== undefined && { encoding }),
      })),
    });
    this.#values = columns.map(() => []);
    this.#rows = 0;
    this.#bytes = 0;
  }
}

/** What a row holds in memory, about: a message may be all properties. */
function bytesOf({ body, annotations, propertyBytes, application, enrichments }: EventRow): number {
  const sections = annotations.bytes.length + propertyBytes.length + application.bytes.length;
  return enrichments.reduce((sum, [key, value]) => sum + key.length + value.length, body.length + sections + ROW_BYTES);
}

function compress(bytes: Uint8Array): Uint8Array {
  return zstdCompressSync(bytes, { params: { [constants.ZSTD_c_compressionLevel]: COMPRESSION_LEVEL } });
}

/** The library's writer, of whose bytes the pieces are taken while the file grows. */
class PieceWriter extends ByteWriter {
  take(): Uint8Array<ArrayBuffer>[] {
    const own = this as unknown as { index: number; buffer: ArrayBuffer };
    if (own.index === 0) return [];
    const piece = new Uint8Array(own.buffer.slice(0, own.index));
    own.index = 0;
    return [piece];
  }
}
