/** Frames of an AMQP client, put together by hand: also those that no library would send. */
import { AmqpWriter } from '../../src/wire/amqp/writer.ts';

export const HEADER = Buffer.from('AMQP\x00\x01\x00\x00', 'latin1');
export const SASL_HEADER = Buffer.from('AMQP\x03\x01\x00\x00', 'latin1');

type Value = ((writer: AmqpWriter) => void) | string | number | boolean | null | Uint8Array;

/** Strings are strings, numbers uints, bytes values that are encoded already. */
function write(writer: AmqpWriter, value: Value): void {
  if (value === null) writer.null();
  else if (typeof value === 'function') value(writer);
  else if (typeof value === 'string') writer.string(value);
  else if (typeof value === 'number') writer.uint(value);
  else if (typeof value === 'boolean') writer.boolean(value);
  else writer.raw(value);
}

function described(writer: AmqpWriter, code: number, values: readonly Value[]): void {
  writer.descriptor(code);
  const begun = writer.beginList();
  for (const value of values) write(writer, value);
  writer.end(begun, values.length);
}

export function frame(
  channel: number,
  code: number,
  values: readonly Value[],
  type = 0,
  payload: Uint8Array = Buffer.alloc(0),
): Buffer {
  const writer = new AmqpWriter();
  writer.raw(Buffer.alloc(8));
  described(writer, code, values);
  writer.raw(payload);
  const bytes = writer.copy();
  bytes.writeUInt32BE(bytes.length);
  bytes[4] = 2;
  bytes[5] = type;
  bytes.writeUInt16BE(channel, 6);
  return bytes;
}

export function plain(user: string, password: string): Buffer {
  const init: Value = (writer) => writer.binary(Buffer.from(`\0${user}\0${password}`));
  return frame(0, 0x41, [(writer) => writer.symbol('PLAIN'), init], 1);
}

export function anonymous(): Buffer {
  return frame(0, 0x41, [(writer) => writer.symbol('ANONYMOUS')], 1);
}

export function open(idleTimeoutMs?: number): Buffer {
  return frame(0, 0x10, ['client', 'localhost', null, null, idleTimeoutMs ?? null]);
}

export function begin(channel: number, incomingWindow = 1000): Buffer {
  return frame(channel, 0x11, [null, 0, incomingWindow, 1000]);
}

/** Attaches a link at `address`; `receives` is the client's view. */
export function attach(channel: number, name: string, handle: number, receives: boolean, address: string): Buffer {
  const source: Value = (writer) => described(writer, 0x28, receives ? [address] : []);
  const target: Value = (writer) => described(writer, 0x29, receives ? [] : [address]);
  return frame(channel, 0x12, [name, handle, receives, null, null, source, target, null, null, receives ? null : 0]);
}

export function flow(
  channel: number,
  link: { handle?: number; credit?: number; drain?: boolean; echo?: boolean; window?: number; seen?: number } = {},
): Buffer {
  const { handle, credit = 0, drain = false, echo = false, window = 1000, seen = 0 } = link;
  const ofLink = handle === undefined ? [null, null, null] : [handle, 0, credit];
  return frame(channel, 0x13, [seen, window, 0, 1000, ...ofLink, null, drain, echo]);
}

export function transfer(
  channel: number,
  handle: number,
  payload: Uint8Array,
  { id = 0, more = false }: { id?: number; more?: boolean } = {},
): Buffer {
  const tag: Value = (writer) => writer.binary(Buffer.from(String(id)));
  return frame(channel, 0x14, [handle, id, tag, 0, false, more], 0, payload);
}
