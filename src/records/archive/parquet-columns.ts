/** The columns of the archive's Parquet files. `docs/archive.md` says them for those who read them. */
import type { SchemaElement } from 'hyparquet';
import { assert } from '../../base/assert.ts';

const utf8 = { type: 'BYTE_ARRAY', converted_type: 'UTF8', logical_type: { type: 'STRING' } } as const;
const json = { type: 'BYTE_ARRAY', logical_type: { type: 'JSON' } } as const;
const time = {
  type: 'INT64',
  logical_type: { type: 'TIMESTAMP', isAdjustedToUTC: true, unit: 'MILLIS' },
} as const;

interface Column {
  readonly name: string;
  readonly schema: readonly SchemaElement[];
  /** Least and greatest value of each row group; bodies and sections have none that would help to skip. */
  readonly statistics: boolean;
}

type Flat = Omit<SchemaElement, 'name' | 'repetition_type'>;

function column(
  name: string,
  element: Flat,
  { statistics = true, isRequired = false }: { readonly statistics?: boolean; readonly isRequired?: boolean } = {},
): Column {
  const repetition = isRequired ? 'REQUIRED' : 'OPTIONAL';
  return { name, schema: [{ name, repetition_type: repetition, ...element }], statistics };
}

const isRequired = true;
const statistics = false;

/** In the order in which `RowGroup` writes them. */
export const columns: readonly Column[] = [
  column('partition', { type: 'INT32' }, { isRequired }),
  column('sequenceNumber', { type: 'INT64' }, { isRequired }),
  column('offset', { type: 'INT64' }, { isRequired }),
  column('enqueuedTime', time, { isRequired }),
  column('iothubEnqueuedTime', time, { isRequired }),
  column('isShown', { type: 'BOOLEAN' }, { isRequired, statistics }),
  column('deviceId', utf8),
  column('moduleId', utf8),
  column('source', utf8),
  column('modelId', utf8),
  column('messageId', utf8, { statistics }),
  column('correlationId', utf8),
  column('contentType', utf8),
  column('contentEncoding', utf8),
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
  },
  column('bodyJson', json, { statistics }),
  column('body', { type: 'BYTE_ARRAY' }, { statistics }),
  column('amqpAnnotations', { type: 'BYTE_ARRAY' }, { isRequired, statistics }),
  column('amqpProperties', { type: 'BYTE_ARRAY' }, { isRequired, statistics }),
  column('amqpApplicationProperties', { type: 'BYTE_ARRAY' }, { isRequired, statistics }),
];

const byName = new Map(columns.map((each) => [each.name, each]));

export function columnNamed(name: string): Column {
  const found = byName.get(name);
  assert(found !== undefined, `the archive has a column ${name}`);
  return found;
}

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
