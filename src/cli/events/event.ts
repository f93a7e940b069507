/** One event as a reader gets it (service reference 5.6), in plain values. */
export interface ReceivedEvent {
  readonly partition: string;
  readonly sequence: number;
  readonly offset: string;
  /** UTC milliseconds. */
  readonly enqueuedTime: number;
  /** Absent if the hub did not say who sent it. */
  readonly deviceId: string | undefined;
  readonly moduleId: string | undefined;
  /** What the hub and the protocol say of it, besides the above; times as ISO 8601. */
  readonly system: Readonly<Record<string, unknown>>;
  readonly properties: Readonly<Record<string, unknown>>;
  readonly body: Buffer;
}

/** What rhea makes of a message's sections. */
export interface AmqpMessage {
  readonly message_annotations?: Readonly<Record<string, unknown>>;
  readonly application_properties?: Readonly<Record<string, unknown>>;
  readonly body?: unknown;
  readonly [property: string]: unknown;
}

/** AMQP's `properties` fields, by the names that the Event Hubs SDKs show them under. */
const propertyNames: Readonly<Record<string, string>> = {
  message_id: 'messageId',
  user_id: 'userId',
  to: 'to',
  subject: 'subject',
  reply_to: 'replyTo',
  correlation_id: 'correlationId',
  content_type: 'contentType',
  content_encoding: 'contentEncoding',
  absolute_expiry_time: 'absoluteExpiryTime',
  creation_time: 'creationTime',
  group_id: 'groupId',
};

const shownApart = new Set([
  'x-opt-sequence-number',
  'x-opt-offset',
  'x-opt-enqueued-time',
  'iothub-connection-device-id',
  'iothub-connection-module-id',
]);

/** @throws Error when an annotation that every event has is missing: the peer is no event hub. */
export function readEvent(message: AmqpMessage, partition: string): ReceivedEvent {
  const annotations = message.message_annotations ?? {};
  const sequence = annotations['x-opt-sequence-number'];
  if (typeof sequence !== 'number') throw new Error('an event came without a sequence number');
  const system: Record<string, unknown> = {};
  for (const [field, name] of Object.entries(propertyNames)) {
    const value = message[field];
    if (value !== undefined && value !== null) system[name] = plain(value, name === 'userId');
  }
  for (const [name, value] of Object.entries(annotations)) {
    if (!shownApart.has(name)) system[name] = plain(value);
  }
  return {
    partition,
    sequence,
    offset: String(annotations['x-opt-offset'] ?? ''),
    enqueuedTime: Number(annotations['x-opt-enqueued-time'] ?? 0),
    deviceId: textOf(annotations['iothub-connection-device-id']),
    moduleId: textOf(annotations['iothub-connection-module-id']),
    system,
    properties: Object.fromEntries(
      Object.entries(message.application_properties ?? {}).map(([name, value]) => [name, plain(value)]),
    ),
    body: bodyOf(message.body),
  };
}

const textOf = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);

function plain(value: unknown, binaryIsText = false): unknown {
  if (value instanceof Date) return value.toISOString();
  if (Buffer.isBuffer(value)) return value.toString(binaryIsText ? 'utf8' : 'base64');
  return value;
}

/** Data sections as their bytes; a value section, which devices cannot send but others may, as text. */
function bodyOf(body: unknown): Buffer {
  if (body === undefined || body === null) return Buffer.alloc(0);
  if (Buffer.isBuffer(body)) return body;
  if (typeof body === 'object' && 'content' in body) {
    const { content } = body;
    if (Buffer.isBuffer(content)) return content;
    if (Array.isArray(content) && content.every((part) => Buffer.isBuffer(part))) return Buffer.concat(content);
    return Buffer.from(JSON.stringify(content));
  }
  return Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
}
