/** Reads events back from a Parquet file of the archive: the same records, byte for byte. */
import { zstdDecompressSync } from 'node:zlib';
import { type AsyncBuffer, type FileMetaData, parquetMetadataAsync, parquetRead } from 'hyparquet';
import type { HistoryFile, HistoryGroup } from '../../core/archive/ports.ts';
import type { EventRun } from '../../core/events/types.ts';
import { joinedSize, joinRecord } from '../../wire/amqp/record.ts';

/** A file of which ranges can be read; `end` is exclusive. */
export type RandomAccess = AsyncBuffer;

const compressors = { ZSTD: (bytes: Uint8Array): Uint8Array => zstdDecompressSync(bytes) };

/** Bytes as they are in the file, and times as numbers. */
const parsers = {
  jsonFromBytes: (bytes: Uint8Array) => bytes,
  stringFromBytes: (bytes: Uint8Array) => bytes,
  timestampFromMilliseconds: Number,
};

const read = [
  'sequenceNumber',
  'enqueuedTime',
  'iothubEnqueuedTime',
  'isShown',
  'bodyJson',
  'body',
  'amqpAnnotations',
  'amqpProperties',
  'amqpApplicationProperties',
];

/** What `read` throws: the file is damaged. @throws Error the file is no Parquet, or not one of the archive's */
export async function openParquet(file: RandomAccess): Promise<HistoryFile> {
  const metadata = await parquetMetadataAsync(file, { parsers, geoparquet: false });
  let firstRow = 0;
  const groups = metadata.row_groups.map((_, index) => {
    const facts = { firstRow, ...factsOf(metadata, index) };
    firstRow += facts.rows;
    return facts;
  });
  return { groups, read: (group) => readGroup(file, metadata, group) };
}

function factsOf(metadata: FileMetaData, index: number): Omit<HistoryGroup, 'firstRow'> {
  const { columns, num_rows } = metadata.row_groups[index];
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
  return { rows: Number(num_rows), firstSequence, lastSequence, firstTime, lastTime };
}

type Column = ArrayLike<boolean | number | bigint | Uint8Array | null | undefined>;

async function readGroup(
  file: RandomAccess,
  metadata: FileMetaData,
  group: HistoryGroup,
): Promise<readonly EventRun[]> {
  const found = new Map<string, Column[]>(read.map((name) => [name, []]));
  await parquetRead({
    ...{ file, metadata, compressors, parsers },
    columns: read,
    rowStart: group.firstRow,
    rowEnd: group.firstRow + group.rows,
    utf8: false,
    geoparquet: false,
    onChunk: ({ columnName, columnData }) => found.get(columnName)?.push(columnData as Column),
  });
  const column = (name: string): Column => whole(found.get(name) ?? [], group.rows, name);
  return runsOf(
    {
      sequence: column('sequenceNumber'),
      time: column('enqueuedTime'),
      hubTime: column('iothubEnqueuedTime'),
      shown: column('isShown'),
      json: column('bodyJson'),
      bytes: column('body'),
      annotations: column('amqpAnnotations'),
      properties: column('amqpProperties'),
      application: column('amqpApplicationProperties'),
    },
    group.rows,
  );
}

/** Pages of one column behind each other. */
function whole(pages: readonly Column[], rows: number, name: string): Column {
  const values = pages.length === 1 ? pages[0] : pages.flatMap((page) => Array.from(page));
  if (values.length !== rows)
    throw new Error(`the Parquet file has ${values.length} values of ${name} for ${rows} rows`);
  return values;
}

interface Rows {
  readonly sequence: Column;
  readonly time: Column;
  readonly hubTime: Column;
  readonly shown: Column;
  readonly json: Column;
  readonly bytes: Column;
  readonly annotations: Column;
  readonly properties: Column;
  readonly application: Column;
}

/** Runs as a log has them: records of one time whose sequence numbers follow each other. */
function runsOf(rows: Rows, count: number): readonly EventRun[] {
  const parts = (row: number) => ({
    annotations: rows.annotations[row] as Uint8Array,
    properties: rows.properties[row] as Uint8Array,
    application: rows.application[row] as Uint8Array,
    body: (rows.json[row] ?? rows.bytes[row]) as Uint8Array,
    hubTime: Number(rows.hubTime[row]),
  });
  const wanted: number[] = [];
  let size = 0;
  for (let row = 0; row < count; row++) {
    if (rows.shown[row] !== true) continue;
    wanted.push(row);
    size += LENGTH_BYTES + joinedSize(parts(row));
  }
  const bytes = Buffer.allocUnsafe(size);
  const runs: EventRun[] = [];
  let at = 0;
  for (let nth = 0; nth < wanted.length; ) {
    const [firstSequence, time, start] = [Number(rows.sequence[wanted[nth]]), Number(rows.time[wanted[nth]]), at];
    let records = 0;
    do {
      const end = joinRecord(bytes, at + LENGTH_BYTES, parts(wanted[nth]));
      bytes.writeUInt32LE(end - at - LENGTH_BYTES, at);
      at = end;
      records++;
      nth++;
    } while (
      nth < wanted.length &&
      Number(rows.sequence[wanted[nth]]) === firstSequence + records &&
      Number(rows.time[wanted[nth]]) === time
    );
    runs.push({ firstSequence, count: records, time, bytes, start, end: at });
  }
  return runs;
}

/** Before each record of a run stands its length. */
const LENGTH_BYTES = 4;
