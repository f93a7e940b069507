/** The AMQP 1.0 frames that a counting reader sends, encoded by hand: the bench must not share the hub's codec. */

type Value = Buffer;

const NULL: Value = Buffer.from([0x40]);
const YES: Value = Buffer.from([0x41]);
const EMPTY_LIST: Value = Buffer.from([0x45]);

const uint = (value: number): Value => {
  const bytes = Buffer.from([0x70, 0, 0, 0, 0]);
  bytes.writeUInt32BE(value, 1);
  return bytes;
};
const ushort = (value: number): Value => Buffer.from([0x60, value >> 8, value & 0xff]);
const ubyte = (value: number): Value => Buffer.from([0x50, value]);
const sized = (code: number, bytes: Buffer): Value => {
  const head = Buffer.from([code, 0, 0, 0, 0]);
  head.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([head, bytes]);
};
const text = (value: string): Value => sized(0xb1, Buffer.from(value));
const symbol = (value: string): Value => sized(0xb3, Buffer.from(value));
const binary = (value: Buffer): Value => sized(0xb0, value);
const compound = (code: number, values: readonly Value[]): Value => {
  const count = Buffer.alloc(4);
  count.writeUInt32BE(values.length);
  return sized(code, Buffer.concat([count, ...values]));
};
const list = (values: readonly Value[]): Value => compound(0xd0, values);
const map = (values: readonly Value[]): Value => compound(0xd1, values);
const described = (descriptor: number, value: Value): Value =>
  Buffer.concat([Buffer.from([0, 0x53, descriptor]), value]);

/** Part 2, section 2.3: size, data offset, type (0 AMQP, 1 SASL), channel. */
function frame(type: 0 | 1, descriptor: number, fields: readonly Value[]): Buffer {
  const body = described(descriptor, list(fields));
  const head = Buffer.from([0, 0, 0, 0, 2, type, 0, 0]);
  head.writeUInt32BE(8 + body.length);
  return Buffer.concat([head, body]);
}

export const SASL_HEADER = Buffer.from('AMQP\x03\x01\x00\x00', 'latin1');
export const AMQP_HEADER = Buffer.from('AMQP\x00\x01\x00\x00', 'latin1');

const WINDOW = 0x7fffffff;

export const saslPlain = (user: string, password: string): Buffer =>
  frame(1, 0x41, [symbol('PLAIN'), binary(Buffer.from(`\0${user}\0${password}`)), NULL]);

export const open = (container: string, hostName: string, frameBytesMax: number): Buffer =>
  frame(0, 0x10, [text(container), text(hostName), uint(frameBytesMax), ushort(0), uint(120_000)]);

export const begin = (): Buffer => frame(0, 0x11, [NULL, uint(0), uint(WINDOW), uint(WINDOW), uint(255)]);

/** A receiver from the partition's start. */
export const attach = (handle: number, address: string): Buffer => {
  const selector = 'apache.org:selector-filter:string';
  const filter = map([
    symbol(selector),
    Buffer.concat([Buffer.from([0]), symbol(selector), text("amqp.annotation.x-opt-offset > '-1'")]),
  ]);
  const source = described(0x28, list([text(address), NULL, NULL, NULL, NULL, NULL, NULL, filter]));
  const target = described(0x29, EMPTY_LIST);
  return frame(0, 0x12, [text(`counting-${handle}`), uint(handle), YES, ubyte(1), ubyte(0), source, target]);
};

export const flow = (handle: number, nextIncomingId: number, deliveryCount: number, credit: number): Buffer =>
  frame(0, 0x13, [
    uint(nextIncomingId >>> 0),
    uint(WINDOW),
    uint(0),
    uint(WINDOW),
    uint(handle),
    uint(deliveryCount),
    uint(credit),
  ]);

/** Settles deliveries as accepted, for a server that sends them unsettled. */
export const accept = (first: number, last: number): Buffer =>
  frame(0, 0x15, [YES, uint(first), uint(last), YES, described(0x24, EMPTY_LIST)]);

export const close = (): Buffer => frame(0, 0x18, []);

/** What a counting reader needs of a transfer. */
export interface Transfer {
  handle: number;
  settled: boolean;
  more: boolean;
}

/** Number in the descriptor of a frame's performative; -1 for an empty frame. */
export function performativeOf(bytes: Buffer, start: number, end: number): number {
  const at = start + bytes[start + 4] * 4;
  if (at >= end) return -1;
  if (bytes[at] !== 0) return -1;
  return bytes[at + 1] === 0x53 ? bytes[at + 2] : bytes[at + 9];
}

/** Whether the sasl-outcome frame at `start` says yes: its first field is code 0 (part 5, section 5.3.3.6). */
export function isSaslOk(bytes: Buffer, start: number): boolean {
  let at = start + bytes[start + 4] * 4;
  at += bytes[at + 1] === 0x53 ? 3 : 10;
  at += bytes[at] === 0xc0 ? 3 : 9;
  return bytes[at] === 0x50 && bytes[at + 1] === 0;
}

/** Reads handle, settled and more of the transfer frame at `start` into `into`: no allocation. */
export function readTransfer(bytes: Buffer, start: number, into: Transfer): void {
  let at = start + bytes[start + 4] * 4;
  at += bytes[at + 1] === 0x53 ? 3 : 10;
  const fields = bytes[at] === 0xc0 ? bytes[at + 2] : bytes[at] === 0xd0 ? bytes.readUInt32BE(at + 5) : 0;
  at += bytes[at] === 0xc0 ? 3 : 9;
  into.handle = 0;
  into.settled = false;
  into.more = false;
  for (let field = 0; field < fields && field < 6; field++) {
    const code = bytes[at];
    if (field === 0) into.handle = code === 0x70 ? bytes.readUInt32BE(at + 1) : code === 0x52 ? bytes[at + 1] : 0;
    else if (field === 4) into.settled = code === 0x41 || (code === 0x56 && bytes[at + 1] === 1);
    else if (field === 5) into.more = code === 0x41 || (code === 0x56 && bytes[at + 1] === 1);
    at += valueBytes(bytes, at);
  }
}

/** Length of an encoded value with its constructor: part 1, section 1.2, by the high half of the constructor. */
function valueBytes(bytes: Buffer, at: number): number {
  switch (bytes[at] >> 4) {
    case 4:
      return 1;
    case 5:
      return 2;
    case 6:
      return 3;
    case 7:
      return 5;
    case 8:
      return 9;
    case 9:
      return 17;
    case 0xa:
    case 0xc:
    case 0xe:
      return 2 + bytes[at + 1];
    default:
      return 5 + bytes.readUInt32BE(at + 1);
  }
}
