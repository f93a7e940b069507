/** Reads events back from a Parquet file of the archive: the same records, byte for byte. */
import type { HistoryFile, HistoryGroup } from '../../core/archive/ports.ts';
import type { FilePiece } from './group-records.ts';
import { type PackedRuns, runsOf } from './packed-runs.ts';
import { FOOTER_TAIL_BYTES, footerBytes } from './parquet-footer.ts';
import type { GroupLayout } from './parquet-layout.ts';

/** A file of which ranges can be read; `end` is exclusive. */
export interface RandomAccess {
  readonly byteLength: number;
  slice(start: number, end: number): Promise<ArrayBuffer> | ArrayBuffer;
}

/** What takes time; what it is given may be gone afterwards. */
export interface ParquetDecoder {
  layout(footer: ArrayBuffer): Promise<readonly GroupLayout[]>;
  records(group: GroupLayout, pieces: readonly FilePiece[], memory?: ArrayBuffer): Promise<PackedRuns>;
}

/** In this thread. What reads Parquet is loaded with the first file: a hub without history does without it. */
const plainDecoder: ParquetDecoder = {
  layout: async (footer) => (await import('./parquet-layout.ts')).readLayout(footer),
  records: async (...parts) => (await import('./group-records.ts')).readRecords(...parts),
};

/** The end of most files is within so many bytes: one request to the store is enough. */
const END_BYTES = 64 * 1024;

/** What `read` throws: the file is damaged. @throws Error the file is no Parquet, or not one of the archive's */
export async function openParquet(file: RandomAccess, decoder: ParquetDecoder = plainDecoder): Promise<HistoryFile> {
  const { byteLength } = file;
  let footer = await file.slice(Math.max(0, byteLength - END_BYTES), byteLength);
  const tail = new Uint8Array(footer, Math.max(0, footer.byteLength - FOOTER_TAIL_BYTES));
  const bytes = footerBytes(tail, byteLength);
  if (bytes > footer.byteLength) footer = await file.slice(byteLength - bytes, byteLength);
  const layouts = await decoder.layout(footer);
  return {
    groups: layouts.map(({ columns: _, ranges: __, ...facts }) => facts),
    async read(group: HistoryGroup, memory?: ArrayBuffer) {
      const layout = layouts.find(({ firstRow }) => firstRow === group.firstRow);
      if (layout === undefined) throw new Error('the file has no such group');
      const isInside = layout.ranges.every(({ start, end }) => 0 <= start && start <= end && end <= byteLength);
      if (!isInside) throw new Error('the Parquet file is damaged: a column ends behind it');
      const pieces = await Promise.all(
        layout.ranges.map(async ({ start, end }) => ({ start, bytes: await file.slice(start, end) })),
      );
      return runsOf(await decoder.records(layout, pieces, memory));
    },
  };
}
