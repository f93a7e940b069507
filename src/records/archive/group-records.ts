/** The events of a row group as a log has them: the same records, byte for byte. */

import { putUint32LE } from '../../base/bytes.ts';
import { limits } from '../../base/limits.ts';
import { joinedSize, joinHeads } from '../../wire/amqp/joined-record.ts';
import { RECORD_HEADER_BYTES } from '../../wire/amqp/record.ts';
import { type BytesColumn, type ColumnPlace, readBooleans, readBytesColumn, readNumbers } from './column-values.ts';
import type { PackedRuns } from './packed-runs.ts';
import type { GroupLayout, NeededColumn } from './parquet-layout.ts';

/** What was read of a file. */
export interface FilePiece {
  readonly start: number;
  readonly bytes: ArrayBuffer;
}

/** Before each record of a run stands its length. */
const LENGTH_BYTES = 4;

/** Memory is taken in such steps, so that what one group was read into is enough for the next one. */
const MEMORY_STEP = 1024 * 1024;

/** Records that readers of the event hub see. @param memory for them, if it is large enough @throws Error the file is damaged */
export function readRecords(
  { rows, columns }: GroupLayout,
  pieces: readonly FilePiece[],
  memory?: ArrayBuffer,
): PackedRuns {
  const place = (name: NeededColumn): ColumnPlace => columns.find((column) => column.name === name) as ColumnPlace;
  const bytesOf = ({ name, start, end }: ColumnPlace): Buffer => {
    const piece = pieces.find((one) => one.start <= start && end <= one.start + one.bytes.byteLength);
    if (piece === undefined) throw new Error(`the column ${name} of the Parquet file was not read`);
    return Buffer.from(piece.bytes, start - piece.start, end - start);
  };
  const numbers = (name: NeededColumn): Float64Array => readNumbers(place(name), bytesOf(place(name)), rows);
  const values = (name: NeededColumn): BytesColumn => readBytesColumn(place(name), bytesOf(place(name)), rows);
  return join(
    {
      sequence: numbers('sequenceNumber'),
      time: numbers('enqueuedTime'),
      hubTime: numbers('iothubEnqueuedTime'),
      shown: readBooleans(place('isShown'), bytesOf(place('isShown')), rows),
      json: values('bodyJson'),
      bytes: values('body'),
      annotations: values('amqpAnnotations'),
      properties: values('amqpProperties'),
      application: values('amqpApplicationProperties'),
    },
    rows,
    memory,
  );
}

interface Rows {
  readonly sequence: Float64Array;
  readonly time: Float64Array;
  readonly hubTime: Float64Array;
  readonly shown: Uint8Array;
  readonly json: BytesColumn;
  readonly bytes: BytesColumn;
  readonly annotations: BytesColumn;
  readonly properties: BytesColumn;
  readonly application: BytesColumn;
}

/** Runs as a log has them: records of one time whose sequence numbers follow each other. */
function join(rows: Rows, count: number, memory: ArrayBuffer | undefined): PackedRuns {
  const { sequence, time, hubTime, shown, json, bytes: plain, annotations, properties, application } = rows;
  let size = 0;
  for (let row = 0; row < count; row++) {
    if (shown[row] === 0) continue;
    const body = json.starts[row] === -1 ? plain : json;
    const sections = lengthAt(annotations, row) + lengthAt(properties, row) + lengthAt(application, row);
    size += LENGTH_BYTES + joinedSize(sections, lengthAt(body, row));
  }
  if (size > limits.historyGroupBytesMax) throw new Error(`the Parquet file has a group of ${size} bytes`);
  const enough = memory !== undefined && memory.byteLength >= size ? memory : newMemory(size);
  const bytes = Buffer.from(enough, 0, size);
  const runs: number[] = [];
  let at = 0;
  let last = -1;
  for (let row = 0; row < count; row++) {
    if (shown[row] === 0) continue;
    const body = json.starts[row] === -1 ? plain : json;
    const start = at + LENGTH_BYTES;
    const propertiesAt = RECORD_HEADER_BYTES + lengthAt(annotations, row);
    const applicationAt = propertiesAt + lengthAt(properties, row);
    const bodyAt = applicationAt + lengthAt(application, row);
    copyAt(annotations, row, bytes, start + RECORD_HEADER_BYTES);
    copyAt(properties, row, bytes, start + propertiesAt);
    copyAt(application, row, bytes, start + applicationAt);
    const place = joinHeads(bytes, start, { propertiesAt, applicationAt, bodyAt }, hubTime[row], lengthAt(body, row));
    copyAt(body, row, bytes, place);
    const end = place + lengthAt(body, row);
    putUint32LE(bytes, at, end - start);
    if (last >= 0 && runs[last] + runs[last + 1] === sequence[row] && runs[last + 2] === time[row]) {
      runs[last + 1]++;
      runs[last + 4] = end;
    } else {
      last = runs.length;
      runs.push(sequence[row], 1, time[row], at, end);
    }
    at = end;
  }
  return { bytes, runs: Float64Array.from(runs) };
}

const newMemory = (size: number): ArrayBuffer => new ArrayBuffer(Math.ceil(size / MEMORY_STEP) * MEMORY_STEP);

const lengthAt = ({ starts, ends }: BytesColumn, row: number): number => ends[row] - starts[row];

function copyAt({ pages, pageOf, starts, ends }: BytesColumn, row: number, target: Buffer, at: number): void {
  const start = starts[row];
  const end = ends[row];
  if (end > start) pages[pageOf[row]].copy(target, at, start, end);
}
