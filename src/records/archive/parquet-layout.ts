/** Where in a Parquet file of the archive its events are: what the end of the file says. Plain data: it may go to another thread. */
import { type FileMetaData, parquetMetadata, parquetSchema } from 'hyparquet';
import { limits } from '../../base/limits.ts';
import type { HistoryGroup } from '../../core/archive/ports.ts';
import type { ColumnPlace } from './column-values.ts';

/** A row group and the columns by which its events are read. */
export interface GroupLayout extends HistoryGroup {
  readonly columns: readonly ColumnPlace[];
  /** What to read of the file; ranges that are near each other are one. `end` is exclusive. */
  readonly ranges: readonly FileRange[];
}

export interface FileRange {
  readonly start: number;
  readonly end: number;
}

/** The columns that a record is made of. */
const needed = [
  'sequenceNumber',
  'enqueuedTime',
  'iothubEnqueuedTime',
  'isShown',
  'bodyJson',
  'body',
  'amqpAnnotations',
  'amqpProperties',
  'amqpApplicationProperties',
] as const;

export type NeededColumn = (typeof needed)[number];

/** Fewer bytes between two columns are read with them: a request to a store costs more. */
const GAP_BYTES = 16 * 1024;

/** @param footer the end of the file, as long as `footerBytes` says or longer @throws Error it is damaged, or not the archive's */
export function readLayout(footer: ArrayBuffer): readonly GroupLayout[] {
  const metadata = parquetMetadata(footer, { parsers: { timestampFromMilliseconds: Number }, geoparquet: false });
  const optional = new Set(
    parquetSchema(metadata)
      .children.filter(({ element }) => element.repetition_type === 'OPTIONAL')
      .map(({ element }) => element.name),
  );
  let firstRow = 0;
  return metadata.row_groups.map((group) => {
    const facts = { firstRow, ...factsOf(group) };
    firstRow += facts.rows;
    const columns = needed.map((name) => placeOf(group, name, optional.has(name)));
    return { ...facts, columns, ranges: joined(columns) };
  });
}

type RowGroup = FileMetaData['row_groups'][number];

function factsOf({ columns, num_rows }: RowGroup): Omit<HistoryGroup, 'firstRow'> {
  const rows = Number(num_rows);
  if (!(rows >= 0 && rows <= limits.archiveGroupRows)) throw new Error(`the Parquet file has a group of ${rows} rows`);
  const bounds = (name: string): readonly [number, number] => {
    const column = columns.find(({ meta_data }) => meta_data?.path_in_schema[0] === name);
    const { min_value, max_value } = column?.meta_data?.statistics ?? {};
    const [least, greatest] = [Number(min_value), Number(max_value)];
    if (!Number.isSafeInteger(least) || !Number.isSafeInteger(greatest)) {
      throw new Error(`the Parquet file has no statistics of ${name}: it is not one of the archive's`);
    }
    return [least, greatest];
  };
  const [firstSequence, lastSequence] = bounds('sequenceNumber');
  const [firstTime, lastTime] = bounds('enqueuedTime');
  return { rows, firstSequence, lastSequence, firstTime, lastTime };
}

function placeOf({ columns }: RowGroup, name: NeededColumn, isOptional: boolean): ColumnPlace {
  const facts = columns.find(({ meta_data }) => meta_data?.path_in_schema[0] === name)?.meta_data;
  if (facts === undefined || facts.codec !== 'ZSTD') {
    throw new Error(`the Parquet file has no column ${name} as the archive writes it`);
  }
  const start = Number(facts.dictionary_page_offset ?? facts.data_page_offset);
  return { name, start, end: start + Number(facts.total_compressed_size), isOptional };
}

function joined(columns: readonly ColumnPlace[]): readonly FileRange[] {
  const ranges: FileRange[] = [];
  for (const { start, end } of columns.toSorted((a, b) => a.start - b.start)) {
    const last = ranges.at(-1);
    if (last !== undefined && start - last.end <= GAP_BYTES) ranges.splice(-1, 1, { start: last.start, end });
    else ranges.push({ start, end });
  }
  return ranges;
}
