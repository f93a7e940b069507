/** Files of Parquet: row groups of a bounded number of rows and bytes, compressed by Zstandard. The library writes what is around them. */
import { ByteWriter, ParquetWriter } from 'hyparquet-writer';
import type { ArchiveEncoder } from './encoder.ts';
import type { EventRow } from './event-row.ts';
import { schema, toldSchema } from './parquet-columns.ts';
import { RowGroup } from './row-group.ts';

/** @param about is kept in the file under the key `mooring`, as JSON. */
export function parquetEncoder(about: Readonly<Record<string, unknown>>): ArchiveEncoder {
  return new ParquetEncoder(about);
}

class ParquetEncoder implements ArchiveEncoder {
  readonly #out = new PieceWriter();
  readonly #writer: ParquetWriter;
  readonly #group = new RowGroup();

  constructor(about: Readonly<Record<string, unknown>>) {
    this.#writer = new ParquetWriter({
      writer: this.#out,
      schema,
      codec: 'ZSTD',
      createdBy: 'mooring',
      kvMetadata: [{ key: 'mooring', value: JSON.stringify(about) }],
    });
  }

  add(row: EventRow): void {
    this.#group.add(row);
    if (this.#group.isFull) this.#endGroup();
  }

  take(): Uint8Array<ArrayBuffer>[] {
    return this.#out.take();
  }

  finish(): Uint8Array<ArrayBuffer>[] {
    if (this.#group.rows > 0) this.#endGroup();
    this.#writer.schema = toldSchema;
    this.#writer.finish();
    return this.#out.take();
  }

  #endGroup(): void {
    const start = this.#out.offset;
    const rows = BigInt(this.#group.rows);
    const written = this.#group.writeTo(this.#out);
    const sizes = written.map(({ chunk }) => chunk.meta_data?.total_uncompressed_size ?? 0n);
    this.#writer.row_groups.push({
      columns: written.map(({ chunk }) => chunk),
      total_byte_size: sizes.reduce((sum, size) => sum + size, 0n),
      num_rows: rows,
      total_compressed_size: BigInt(this.#out.offset - start),
    });
    this.#writer.pendingIndexes.push(...written);
    this.#writer.num_rows += rows;
  }
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
