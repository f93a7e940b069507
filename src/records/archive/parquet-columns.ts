/** The columns of the archive's Parquet files. `docs/archive.md` says them for those who read them. */
import type { SchemaElement } from 'hyparquet';
import type { ColumnSource } from 'hyparquet-writer';
import { OFFSET_BASE } from '../../core/events/types.ts';
import { type EventRow, shownProperties } from './event-row.ts';

const utf8 = { type: 'BYTE_ARRAY', converted_type: 'UTF8', logical_type: { type: 'STRING' } } as const;
const json = { type: 'BYTE_ARRAY', logical_type: { type: 'JSON' } } as const;
const time = {
  type: 'INT64',
  logical_type: { type: 'TIMESTAMP', isAdjustedToUTC: true, unit: 'MILLIS' },
} as const;

interface Column {
  readonly name: string;
  readonly schema: readonly SchemaElement[];
  readonly encoding?: ColumnSource['encoding'];
  /** Least and greatest value of each row group; bodies and sections have none that would help to skip. */
  readonly statistics: boolean;
  /** @param isJson whether the body is a JSON text */
  readonly value: (row: EventRow, isJson: boolean) => unknown;
}

type Flat = Omit<SchemaElement, 'name' | 'repetition_type'>;

function column(
  name: string,
  element: Flat,
  value: Column['value'],
  options: Partial<Pick<Column, 'encoding' | 'statistics'>> = {},
  repetition: 'REQUIRED' | 'OPTIONAL' = 'OPTIONAL',
): Column {
  return {
    name,
    schema: [{ name, repetition_type: repetition, ...element }],
    statistics: options.statistics ?? true,
    ...(options.encoding !== undefined && { encoding: options.encoding }),
    value,
  };
}

const counted = { encoding: 'DELTA_BINARY_PACKED' } as const;
const opaque = { encoding: 'PLAIN', statistics: false } as const;
const repeated = { statistics: false } as const;

export const columns: readonly Column[] = [
  column('partition', { type: 'INT32' }, (row) => row.partition, counted, 'REQUIRED'),
  column('sequenceNumber', { type: 'INT64' }, (row) => row.sequence, counted, 'REQUIRED'),
  column('offset', { type: 'INT64' }, (row) => OFFSET_BASE + row.sequence, counted, 'REQUIRED'),
  column('enqueuedTime', time, (row) => row.time, counted, 'REQUIRED'),
  column('iothubEnqueuedTime', time, (row) => row.hubTime, counted, 'REQUIRED'),
  column('isShown', { type: 'BOOLEAN' }, (row) => row.isShown, repeated, 'REQUIRED'),
  column('deviceId', utf8, (row) => row.annotations.deviceId),
  column('moduleId', utf8, (row) => row.annotations.moduleId),
  column('source', utf8, (row) => row.annotations.source),
  column('modelId', utf8, (row) => row.annotations.modelId),
  column('messageId', utf8, (row) => row.messageId, opaque),
  column('correlationId', utf8, (row) => row.properties.correlationId),
  column('contentType', utf8, (row) => row.properties.contentType),
  column('contentEncoding', utf8, (row) => row.properties.contentEncoding),
  {
    name: 'properties',
    schema: [
      {
        name: 'properties',
        repetition_type: 'OPTIONAL',
        converted_type: 'MAP',
        logical_type: { type: 'MAP' },
        num_children: 1,
      },
      { name: 'key_value', repetition_type: 'REPEATED', num_children: 2 },
      { name: 'key', repetition_type: 'REQUIRED', ...utf8 },
      { name: 'value', repetition_type: 'OPTIONAL', ...utf8 },
    ],
    statistics: false,
    value: (row) => shownProperties(row),
  },
  column('bodyJson', json, (row, isJson) => (isJson ? row.body : undefined), opaque),
  column('body', { type: 'BYTE_ARRAY' }, (row, isJson) => (isJson ? undefined : row.body), opaque),
  column('amqpAnnotations', { type: 'BYTE_ARRAY' }, (row) => row.annotations.bytes, repeated, 'REQUIRED'),
  column('amqpProperties', { type: 'BYTE_ARRAY' }, (row) => row.propertyBytes, opaque, 'REQUIRED'),
  column('amqpApplicationProperties', { type: 'BYTE_ARRAY' }, (row) => row.application.bytes, repeated, 'REQUIRED'),
];

/** What rows are written by. */
export const schema: SchemaElement[] = [
  { name: 'event', num_children: columns.length },
  ...columns.flatMap((each) => each.schema),
];

/**
 * What readers are told: some know a JSON column only by the older name of its type, by which the library would take values that are
 * to be turned into text, and these are text.
 */
export const toldSchema: SchemaElement[] = schema.map((element) =>
  element.logical_type?.type === 'JSON' ? { ...element, converted_type: 'JSON' } : element,
);
