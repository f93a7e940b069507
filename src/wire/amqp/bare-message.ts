/** Messages that carry an application's own data: telemetry and commands, as devices and back ends send them. */
import type { IdType, IdTypes } from '../../base/id-type.ts';
import { type TypedId, typedId } from './ids.ts';
import { uuidText } from './uuid.ts';
import {
  AmqpDecodeError,
  type AmqpList,
  AmqpReader,
  type AmqpValue,
  type HeapBudget,
  type MapEntry,
} from './values.ts';
import { format, section } from './writer.ts';

/** A message taken apart. Ids are text, whatever type they came in; times are UTC milliseconds; absent = not set. */
export interface BareMessage {
  readonly messageId?: string;
  readonly userId?: string;
  readonly to?: string;
  readonly subject?: string;
  readonly correlationId?: string;
  /** Of ids that came as something else than text. */
  readonly idTypes?: IdTypes;
  readonly contentType?: string;
  readonly contentEncoding?: string;
  readonly expiry?: number;
  readonly creationTime?: number;
  /** Message annotations by their name. */
  readonly annotations: ReadonlyMap<string, string | null>;
  /** Application properties in the order sent. */
  readonly properties: readonly (readonly [name: string, value: string | null])[];
  /** All data sections together, or the text or bytes of a value section. */
  readonly body: Buffer;
}

/** Sections behind each other; what the hub has no use for is skipped. */
interface Sections {
  properties: AmqpList | undefined;
  annotations: readonly MapEntry[];
  applicationProperties: readonly MapEntry[];
  body: Buffer[];
}

/** @param budget what all messages of a batch share. @throws AmqpDecodeError if the bytes are no message, or its body is a sequence or a value that is neither text nor bytes. */
export function readBareMessage(bytes: Buffer, budget?: HeapBudget): BareMessage {
  const { properties, annotations, applicationProperties, body } = readSections(bytes, budget);
  return {
    ...(properties === undefined ? {} : readProperties(properties)),
    annotations: new Map(annotations.map((entry) => textEntry(entry))),
    properties: applicationProperties.map((entry) => textEntry(entry)),
    body: body.length === 1 ? body[0] : Buffer.concat(body),
  };
}

/**
 * The messages of a batch (message format 0x80013700): its data sections hold a complete message each. What stands around
 * them says nothing of its own.
 * @throws AmqpDecodeError
 */
export function readMessageBatch(bytes: Buffer, budget?: HeapBudget): readonly Buffer[] {
  return readSections(bytes, budget).body;
}

function readSections(bytes: Buffer, budget?: HeapBudget): Sections {
  const reader = new AmqpReader(bytes, 0, bytes.length, budget);
  const sections: Sections = { properties: undefined, annotations: [], applicationProperties: [], body: [] };
  while (!reader.isDone) {
    const code = reader.descriptor();
    switch (code) {
      case section.properties:
        sections.properties = reader.list();
        break;
      case section.messageAnnotations:
        sections.annotations = reader.entries();
        break;
      case section.applicationProperties:
        sections.applicationProperties = reader.entries();
        break;
      case section.data:
      case section.value:
        sections.body.push(bodyBytes(reader.value()));
        break;
      case section.sequence:
        throw new AmqpDecodeError('a body of sequences is not taken', 'amqp:not-implemented');
      default:
        reader.value();
    }
  }
  return sections;
}

function bodyBytes(value: AmqpValue): Buffer {
  if (Buffer.isBuffer(value)) return value;
  if (value === null) return Buffer.alloc(0);
  if (typeof value === 'string') return Buffer.from(value);
  throw new AmqpDecodeError('a body is neither bytes nor text', 'amqp:not-implemented');
}

/** Fields of part 3 section 3.2.4. */
function readProperties({ values, raw }: AmqpList): Partial<BareMessage> {
  const text = (field: number): string | undefined => {
    const value = values[field];
    return value === undefined || value === null ? undefined : valueText(value, raw(field)[0]);
  };
  const time = (field: number): number | undefined => {
    const value = values[field];
    if (value === undefined || value === null) return undefined;
    if (Number.isSafeInteger(value)) return Number(value);
    throw new AmqpDecodeError('a time of a message is none', 'amqp:invalid-field');
  };
  const id = (field: number): TypedId | undefined => {
    const value = values[field];
    if (value === undefined || value === null) return undefined;
    const code = raw(field)[0];
    return typedId(value, code) ?? { text: valueText(value, code), type: undefined };
  };
  const [messageId, correlationId] = [id(0), id(5)];
  const found = {
    messageId: messageId?.text,
    userId: text(1),
    to: text(2),
    subject: text(3),
    correlationId: correlationId?.text,
    idTypes: typesOf(messageId?.type, correlationId?.type),
    contentType: text(6),
    contentEncoding: text(7),
    expiry: time(8),
    creationTime: time(9),
  };
  return Object.fromEntries(Object.entries(found).filter(([, value]) => value !== undefined));
}

function typesOf(messageId: IdType | undefined, correlationId: IdType | undefined): IdTypes | undefined {
  if (messageId === undefined && correlationId === undefined) return undefined;
  return { ...(messageId && { messageId }), ...(correlationId && { correlationId }) };
}

function textEntry({ key, value, code }: MapEntry): readonly [name: string, value: string | null] {
  if (typeof key !== 'string') throw new AmqpDecodeError('a property has a name that is no text', 'amqp:invalid-field');
  return [key, value === null ? null : valueText(value, code)];
}

/** A simple value as text; `code` is its constructor. */
function valueText(value: AmqpValue, code: number): string {
  if (typeof value === 'string') return value;
  if (Buffer.isBuffer(value)) return code === format.uuid ? uuidText(value) : value.toString('utf8');
  if (code === format.timestamp && typeof value === 'number') return timeText(value);
  if (typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean') return String(value);
  throw new AmqpDecodeError('a property has a value that is no simple one', 'amqp:invalid-field');
}

/** ISO 8601 in UTC; a number that is no time of the calendar as it stands. */
function timeText(value: number): string {
  const time = new Date(value);
  return Number.isNaN(time.getTime()) ? String(value) : time.toISOString();
}
