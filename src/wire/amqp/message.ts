import { limits } from '../../base/limits.ts';
import { type Field, string, symbol } from './fields.ts';
import { AmqpReader, type AmqpValue, HeapBudget } from './values.ts';
import { AmqpWriter, section } from './writer.ts';

/** A message as the hub's own nodes read it: requests to `$cbs` and `$management`. */
export interface Message {
  /** Bytes of the message-id as they came, to be echoed with the same type; undefined = none. */
  readonly messageId: Buffer | undefined;
  readonly replyTo: string | undefined;
  readonly applicationProperties: ReadonlyMap<AmqpValue, AmqpValue>;
  /** Value of an `amqp-value` body, or the bytes of the first data section. */
  readonly body: AmqpValue;
}

const none: ReadonlyMap<AmqpValue, AmqpValue> = new Map();

/** Takes a message apart. Sections that a request does not need are skipped. @throws AmqpDecodeError */
export function readMessage(bytes: Buffer): Message {
  const reader = new AmqpReader(bytes, 0, bytes.length, new HeapBudget(limits.amqpRequestDecodedBytesMax));
  let messageId: Buffer | undefined;
  let replyTo: string | undefined;
  let applicationProperties = none;
  let body: AmqpValue = null;
  while (!reader.isDone) {
    const code = reader.descriptor();
    if (code === section.properties) {
      const { values, raw } = reader.list();
      messageId = values[0] === undefined || values[0] === null ? undefined : raw(0);
      replyTo = typeof values[4] === 'string' ? values[4] : undefined;
      continue;
    }
    const value = reader.value();
    if (code === section.applicationProperties && value instanceof Map) applicationProperties = value;
    if (code === section.value || (code === section.data && body === null)) body = value;
  }
  return { messageId, replyTo, applicationProperties, body };
}

const scratch = new AmqpWriter(1024);

/** An answer to a request: correlation id, application properties with string keys, `amqp-value` body. */
export function responseMessage(response: {
  readonly correlationId: Buffer | undefined;
  readonly properties: readonly (readonly [name: string, value: Field])[];
  readonly body: Field;
}): Buffer {
  scratch.reset();
  scratch.descriptor(section.properties);
  const list = scratch.beginList();
  for (let field = 0; field < PROPERTIES_FIELDS; field++) {
    if (field === CORRELATION_ID_FIELD && response.correlationId !== undefined) scratch.raw(response.correlationId);
    else scratch.null();
  }
  scratch.end(list, PROPERTIES_FIELDS);
  scratch.descriptor(section.applicationProperties);
  const begun = scratch.beginMap();
  for (const [name, value] of response.properties) {
    scratch.string(name);
    value(scratch);
  }
  scratch.end(begun, response.properties.length * 2);
  scratch.descriptor(section.value);
  response.body(scratch);
  return scratch.copy();
}

const PROPERTIES_FIELDS = 13;
const CORRELATION_ID_FIELD = 5;

/** Names of the values that a delivery carries when its reader asked for them (service reference 5.6). */
export function runtimeMetrics(metrics: {
  readonly lastSequence: number;
  readonly lastOffset: string;
  /** UTC milliseconds. */
  readonly lastTime: number;
  readonly now: number;
}): Buffer {
  scratch.reset();
  scratch.descriptor(section.deliveryAnnotations);
  const begun = scratch.beginMap();
  symbol('last_enqueued_sequence_number')(scratch);
  scratch.long(metrics.lastSequence);
  symbol('last_enqueued_offset')(scratch);
  string(metrics.lastOffset)(scratch);
  symbol('last_enqueued_time_utc')(scratch);
  scratch.timestamp(metrics.lastTime);
  symbol('runtime_info_retrieval_time_utc')(scratch);
  scratch.timestamp(metrics.now);
  scratch.end(begun, 8);
  return scratch.copy();
}

/** Bytes of a message's correlation id as they came, to be echoed with the same type. @throws AmqpDecodeError */
export function readCorrelationId(bytes: Buffer): Buffer | undefined {
  const reader = new AmqpReader(bytes);
  while (!reader.isDone) {
    if (reader.descriptor() === section.properties) {
      const { values, raw } = reader.list();
      return (values[CORRELATION_ID_FIELD] ?? null) === null ? undefined : raw(CORRELATION_ID_FIELD);
    }
    reader.value();
  }
  return undefined;
}
