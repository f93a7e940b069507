/** What the sections of a stored record say. */
import { typedId } from '../../wire/amqp/ids.ts';
import { RECORD_HEADER_BYTES, writeHubTime } from '../../wire/amqp/record.ts';
import { AmqpReader, type AmqpValue, HeapBudget } from '../../wire/amqp/values.ts';
import type { AnnotationFacts, ApplicationFacts, PropertyFacts } from './event-row.ts';

/** Records were bounded when they were taken: reading them again needs no second bound. */
const budget = (): HeapBudget => new HeapBudget(Number.POSITIVE_INFINITY);

/** Fields of AMQP part 3 section 3.2.4. */
export function readFields(
  bytes: Buffer,
  start: number,
  end: number,
): { readonly messageId: string | undefined; readonly facts: PropertyFacts } {
  const reader = new AmqpReader(bytes, start, end, budget());
  reader.descriptor();
  const { values, raw } = reader.list();
  const id = (field: number): string | undefined => {
    const value = values[field] ?? null;
    return value === null ? undefined : typedId(value, raw(field)[0])?.text;
  };
  return {
    messageId: id(0),
    facts: {
      userId: textOf(values[1]),
      to: textOf(values[2]),
      correlationId: id(5),
      contentType: textOf(values[6]),
      contentEncoding: textOf(values[7]),
      expiry: typeof values[8] === 'number' ? values[8] : undefined,
    },
  };
}

/** Of the record that begins at `start`, whose annotations end at `end`. */
export function readAnnotations(bytes: Buffer, start: number, end: number): AnnotationFacts {
  // The head of the record is only there so that the time stands where it is looked for.
  const record = Buffer.from(bytes.subarray(start, end));
  writeHubTime(record, 0, 0);
  const own = record.subarray(RECORD_HEADER_BYTES);
  const reader = new AmqpReader(own, 0, own.length, budget());
  reader.descriptor();
  const values = new Map<string, string>();
  for (const { key, value } of reader.entries()) {
    if (typeof key === 'string' && typeof value === 'string' && key !== 'x-opt-offset') values.set(key, value);
  }
  return {
    bytes: own,
    values,
    deviceId: values.get('iothub-connection-device-id'),
    moduleId: values.get('iothub-connection-module-id'),
    source: values.get('iothub-message-source'),
    modelId: values.get('dt-dataschema'),
  };
}

export function readApplication(bytes: Buffer, start: number, end: number): ApplicationFacts {
  const own = Buffer.from(bytes.subarray(start, end));
  const reader = new AmqpReader(own, 0, own.length, budget());
  reader.descriptor();
  const entries = reader.entries().map(({ key, value }) => ({
    key: String(key),
    value: value === null ? null : (textOf(value) ?? String(value)),
  }));
  return { bytes: own, entries };
}

function textOf(value: AmqpValue | undefined): string | undefined {
  if (typeof value === 'string') return value;
  return Buffer.isBuffer(value) ? value.toString('utf8') : undefined;
}
