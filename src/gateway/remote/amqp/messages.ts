/** Messages of the hub to devices, as the AMQP library reads them (device reference 3.5 to 3.7). */
import type { Message } from 'rhea';
import type { Command } from '../../types.ts';

/** A command, and what names it over its deliveries. */
export interface ReceivedCommand {
  readonly command: Command;
  readonly name: string;
}

export function readCommand(message: Message): ReceivedCommand {
  const annotations = (message.message_annotations ?? {}) as Record<string, unknown>;
  const { absolute_expiry_time: expiry, content_type: contentType, content_encoding: contentEncoding } = message;
  const properties: Record<string, string> = {};
  for (const [name, value] of Object.entries(message.application_properties ?? {})) {
    if (name !== 'iothub-ack') properties[name] = String(value);
  }
  const expires = expiry === undefined || expiry === null ? undefined : new Date(expiry as unknown as number);
  const messageId = textOf(message.message_id);
  const correlationId = textOf(message.correlation_id);
  const command = {
    id: String(annotations['x-opt-lock-token']),
    ...(messageId !== undefined && { messageId }),
    ...(correlationId !== undefined && { correlationId }),
    body: bodyOf(message),
    ...(contentType && { contentType }),
    ...(contentEncoding && { contentEncoding }),
    properties,
    deliveryCount: Number(annotations['iothub-deliverycount'] ?? 0),
    ...(expires !== undefined && !Number.isNaN(expires.getTime()) && { expires }),
  };
  const sequence = String(annotations['x-opt-sequence-number']);
  return { command, name: `${sequence}@${Number(annotations['iothub-enqueuedtime'])}` };
}

/** The bytes of all data sections. */
export function bodyOf({ body }: Message): Buffer {
  if (Buffer.isBuffer(body)) return body;
  if (typeof body === 'string') return Buffer.from(body);
  const content = (body as { content?: unknown } | undefined)?.content;
  if (Buffer.isBuffer(content)) return content;
  if (Array.isArray(content)) return Buffer.concat(content as Buffer[]);
  return Buffer.alloc(0);
}

/** Undefined for an empty body. @throws SyntaxError */
export function jsonOf(message: Message): unknown {
  const text = bodyOf(message).toString('utf8');
  return text === '' ? undefined : JSON.parse(text);
}

/** An id as text, whatever its type on the wire. */
export function textOf(id: unknown): string | undefined {
  if (id === undefined || id === null) return undefined;
  if (!Buffer.isBuffer(id)) return String(id);
  if (id.length !== 16) return id.toString('utf8');
  const hex = id.toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}
