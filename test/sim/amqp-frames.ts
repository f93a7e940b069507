/** What an AMQP peer writes: frames and messages, put together field by field. */
import { map, optional, string, symbol } from '../../src/wire/amqp/fields.ts';
import { AmqpWriter, section } from '../../src/wire/amqp/writer.ts';
import { frame } from '../drivers/amqp-bytes.ts';

type Field = (writer: AmqpWriter) => void;

const ubyte =
  (value: number): Field =>
  (writer) =>
    writer.ubyte(value);
const nothing = null;

/** Composite types of the standard, by descriptor. */
const composite =
  (code: number, fields: readonly Field[]): Field =>
  (writer) => {
    writer.descriptor(code);
    const begun = writer.beginList();
    for (const field of fields) field(writer);
    writer.end(begun, fields.length);
  };

export const outcomes = { accepted: 0x24, rejected: 0x25, released: 0x26, modified: 0x27 } as const;
export type OutcomeName = keyof typeof outcomes;

export function openFrame(frameBytesMax: number, idleTimeoutMs: number): Buffer {
  return frame(0, 0x10, ['peer', 'localhost', frameBytesMax, nothing, idleTimeoutMs]);
}

export function beginFrame(incomingWindow: number): Buffer {
  return frame(0, 0x11, [nothing, 0, incomingWindow, 0x7fffffff]);
}

export interface AttachOptions {
  readonly address: string;
  readonly receives: boolean;
  /** A receiver that waits for the hub's word on what it says of a delivery. */
  readonly settlesSecond?: boolean;
  /** Where a reader of events begins, as a selector. */
  readonly selector?: string;
  readonly epoch?: number;
}

export function attachFrame(name: string, handle: number, options: AttachOptions): Buffer {
  const { address, receives, settlesSecond = false, selector, epoch } = options;
  const none: Field = (writer) => writer.null();
  const FILTER = 'apache.org:selector-filter:string';
  const filter: Field = (writer) => {
    const begun = writer.beginMap();
    writer.symbol(FILTER);
    writer.raw(Uint8Array.of(0));
    writer.symbol(FILTER);
    writer.string(selector ?? '');
    writer.end(begun, 2);
  };
  const empty = new Array<Field>(6).fill(none);
  const source = composite(0x28, receives ? [string(address), ...empty, selector === undefined ? none : filter] : []);
  const target = composite(0x29, receives ? [] : [string(address)]);
  const properties =
    epoch === undefined ? nothing : map(symbol, [['com.microsoft:epoch', (writer) => writer.long(epoch)]]);
  return frame(0, 0x12, [
    ...[name, handle, receives, ubyte(receives ? 2 : 0), ubyte(settlesSecond ? 1 : 0), source, target],
    ...[nothing, nothing, receives ? nothing : 0, nothing, nothing, nothing, properties],
  ]);
}

/** @param seen the number of the transfer that is expected next */
export function flowFrame(seen: number, incomingWindow: number, handle: number, deliveryCount: number, credit: number) {
  return frame(0, 0x13, [seen, incomingWindow, 0, 0x7fffffff, handle, deliveryCount, credit]);
}

export interface TransferOptions {
  readonly format: number;
  readonly settled: boolean;
}

/** The frames of one message, none larger than `frameBytesMax`. */
export function transferFrames(
  handle: number,
  id: number,
  payload: Buffer,
  frameBytesMax: number,
  { format, settled }: TransferOptions,
): readonly Buffer[] {
  const HEAD_BYTES_MAX = 80;
  const tag: Field = (writer) => writer.binary(Buffer.from(String(id)));
  const frames: Buffer[] = [];
  for (let at = 0; at === 0 || at < payload.length; at += frameBytesMax - HEAD_BYTES_MAX) {
    const part = payload.subarray(at, at + frameBytesMax - HEAD_BYTES_MAX);
    const more = at + part.length < payload.length;
    frames.push(frame(0, 0x14, [handle, id, tag, format, settled, more], 0, part));
  }
  return frames;
}

/** What a receiver says of deliveries. */
export function dispositionFrame(first: number, last: number, settled: boolean, outcome: OutcomeName): Buffer {
  return frame(0, 0x15, [true, first, last, settled, composite(outcomes[outcome], [])]);
}

export function detachFrame(handle: number): Buffer {
  return frame(0, 0x16, [handle, true]);
}

export function closeFrame(): Buffer {
  return frame(0, 0x18, []);
}

export const BATCH_FORMAT = 0x80013700;

export function telemetryMessage(body: string, kind: string | undefined): Buffer {
  return message({ properties: kind === undefined ? {} : { kind }, body: Buffer.from(body) });
}

export function batchMessage(messages: readonly Buffer[]): Buffer {
  const writer = new AmqpWriter();
  for (const part of messages) {
    writer.descriptor(section.data);
    writer.binary(part);
  }
  return writer.copy();
}

export function commandMessage(
  command: { readonly messageId: string; readonly deviceId: string; readonly ack: string; readonly expiry?: number },
  body: Buffer,
): Buffer {
  const { messageId, deviceId, ack, expiry } = command;
  const to = `/devices/${deviceId}/messages/devicebound`;
  return message({ messageId, to, ...(expiry !== undefined && { expiry }), properties: { 'iothub-ack': ack }, body });
}

export function putTokenMessage(messageId: string, audience: string, token: string): Buffer {
  const properties = { operation: 'put-token', type: 'servicebus.windows.net:sastoken', name: audience };
  return message({ messageId, replyTo: 'cbs', properties, value: token });
}

function message(parts: {
  readonly messageId?: string;
  readonly to?: string;
  readonly replyTo?: string;
  readonly expiry?: number;
  readonly properties: Readonly<Record<string, string>>;
  readonly body?: Buffer;
  readonly value?: string;
}): Buffer {
  const writer = new AmqpWriter();
  const time = optional<number>((target, value) => target.timestamp(value));
  const none: Field = (target) => target.null();
  const { messageId, to, replyTo, expiry, properties, body, value } = parts;
  const fields = [string(messageId), none, string(to), none, string(replyTo), none, none, none, time(expiry)];
  composite(section.properties, fields)(writer);
  const entries = Object.entries(properties);
  if (entries.length > 0) {
    writer.descriptor(section.applicationProperties);
    map(
      string,
      entries.map(([name, text]) => [name, string(text)]),
    )(writer);
  }
  if (body !== undefined) {
    writer.descriptor(section.data);
    writer.binary(body);
  } else {
    writer.descriptor(section.value);
    writer.string(value ?? '');
  }
  return writer.copy();
}
