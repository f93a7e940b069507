import {
  binary,
  boolean,
  described,
  type Field,
  map,
  nil,
  optional,
  string,
  symbol,
  symbols,
  ubyte,
  uint,
  ulong,
  ushort,
} from './fields.ts';
import { FRAME_AMQP, FRAME_HEAD_BYTES, FRAME_SASL } from './frames.ts';
import { type AmqpValue, Described } from './values.ts';
import { AmqpWriter } from './writer.ts';

/**
 * The frames that the hub writes. Every performative is written with every field of the standard, absent ones as null:
 * Python's azure-eventhub reads them by index and fails where trailing ones were left out.
 */
export const performative = {
  open: 0x10,
  begin: 0x11,
  attach: 0x12,
  flow: 0x13,
  transfer: 0x14,
  disposition: 0x15,
  detach: 0x16,
  end: 0x17,
  close: 0x18,
  saslMechanisms: 0x40,
  saslInit: 0x41,
  saslChallenge: 0x42,
  saslResponse: 0x43,
  saslOutcome: 0x44,
} as const;

const composite = {
  error: 0x1d,
  accepted: 0x24,
  rejected: 0x25,
  released: 0x26,
  modified: 0x27,
  source: 0x28,
  target: 0x29,
} as const;

/** An error as AMQP carries it (part 2 section 2.8.14). */
export interface AmqpError {
  readonly condition: string;
  readonly description?: string;
  /** Symbol keys. */
  readonly info?: readonly (readonly [name: string, value: Field])[];
}

const error = optional<AmqpError>((writer, { condition, description, info }) =>
  described(composite.error, [symbol(condition), string(description), info === undefined ? nil : map(symbol, info)])(
    writer,
  ),
);

export type Outcome =
  | { readonly kind: 'accepted' | 'released' }
  | { readonly kind: 'rejected'; readonly error: AmqpError };

const outcome = (value: Outcome): Field =>
  value.kind === 'rejected'
    ? described(composite.rejected, [error(value.error)])
    : described(composite[value.kind], []);

const outcomeNames: ReadonlyMap<AmqpValue, PeerOutcome> = new Map<AmqpValue, PeerOutcome>([
  [composite.accepted, 'accepted'],
  ['amqp:accepted:list', 'accepted'],
  [composite.rejected, 'rejected'],
  ['amqp:rejected:list', 'rejected'],
  [composite.released, 'released'],
  ['amqp:released:list', 'released'],
  [composite.modified, 'modified'],
  ['amqp:modified:list', 'modified'],
]);

/** How a receiver may end a delivery (part 3 section 3.4). */
export type PeerOutcome = 'accepted' | 'rejected' | 'released' | 'modified';

/** The outcome that a disposition carries; undefined for none, and for states that end nothing, as `received`. */
export function readOutcome(state: AmqpValue | undefined): PeerOutcome | undefined {
  return state instanceof Described ? outcomeNames.get(state.descriptor) : undefined;
}

/** A source or target without an address: what a terminus is where the peer named none. */
export const emptySource = described(composite.source, new Array<Field>(11).fill(nil));
export const emptyTarget = described(composite.target, new Array<Field>(7).fill(nil));

const scratch = new AmqpWriter(1024);
const frameHead = Buffer.alloc(FRAME_HEAD_BYTES);

function frame(type: number, channel: number, code: number, fields: readonly Field[], payload?: Uint8Array): Buffer {
  scratch.reset().raw(frameHead);
  described(code, fields)(scratch);
  if (payload !== undefined) scratch.raw(payload);
  const bytes = scratch.copy();
  bytes.writeUInt32BE(bytes.length, 0);
  bytes[4] = FRAME_HEAD_BYTES / 4;
  bytes[5] = type;
  bytes.writeUInt16BE(channel, 6);
  return bytes;
}

/** A frame without a body: a sign of life. */
export const emptyFrame: Buffer = Buffer.from([0, 0, 0, 8, 2, 0, 0, 0]);

export function saslMechanismsFrame(mechanisms: readonly string[]): Buffer {
  return frame(FRAME_SASL, 0, performative.saslMechanisms, [symbols(mechanisms)]);
}

/** Codes of part 5 section 5.3.3.6: 0 ok, 1 authentication failed. */
/** 0 = ok, 1 = refused, 4 = not now (`sys-temp`). */
export function saslOutcomeFrame(code: 0 | 1 | 4): Buffer {
  return frame(FRAME_SASL, 0, performative.saslOutcome, [ubyte(code), nil]);
}

export function openFrame(open: {
  readonly containerId: string;
  readonly frameBytesMax: number;
  readonly channelMax: number;
  readonly idleTimeoutMs: number;
}): Buffer {
  return frame(FRAME_AMQP, 0, performative.open, [
    string(open.containerId),
    nil, // hostname
    uint(open.frameBytesMax),
    ushort(open.channelMax),
    uint(open.idleTimeoutMs),
    nil, // outgoing-locales
    nil, // incoming-locales
    nil, // offered-capabilities
    nil, // desired-capabilities
    nil, // properties
  ]);
}

export function beginFrame(
  channel: number,
  begin: {
    readonly remoteChannel: number;
    readonly nextOutgoingId: number;
    readonly incomingWindow: number;
    readonly outgoingWindow: number;
    readonly handleMax: number;
  },
): Buffer {
  return frame(FRAME_AMQP, channel, performative.begin, [
    ushort(begin.remoteChannel),
    uint(begin.nextOutgoingId),
    uint(begin.incomingWindow),
    uint(begin.outgoingWindow),
    uint(begin.handleMax),
    nil, // offered-capabilities
    nil, // desired-capabilities
    nil, // properties
  ]);
}

export function attachFrame(
  channel: number,
  attach: {
    readonly name: string;
    readonly handle: number;
    /** True = the hub receives. */
    readonly role: boolean;
    readonly sndSettleMode: number;
    readonly rcvSettleMode: number;
    readonly source: Field;
    readonly target: Field;
    readonly messageBytesMax?: number;
    readonly offeredCapabilities?: readonly string[];
  },
): Buffer {
  return frame(FRAME_AMQP, channel, performative.attach, [
    string(attach.name),
    uint(attach.handle),
    boolean(attach.role),
    ubyte(attach.sndSettleMode),
    ubyte(attach.rcvSettleMode),
    attach.source,
    attach.target,
    nil, // unsettled
    boolean(false), // incomplete-unsettled
    uint(attach.role ? undefined : 0), // initial-delivery-count
    ulong(attach.messageBytesMax),
    symbols(attach.offeredCapabilities),
    nil, // desired-capabilities
    map(symbol, []), // properties: azure-eventhub 5.11 looks into them without a check
  ]);
}

/** The attach that goes before the detach of a link that is refused: with neither source nor target. */
export function refusedAttachFrame(channel: number, name: string, handle: number, role: boolean): Buffer {
  const modes = { sndSettleMode: 2, rcvSettleMode: 0 };
  return attachFrame(channel, { name, handle, role, ...modes, source: nil, target: nil });
}

export function flowFrame(
  channel: number,
  flow: {
    readonly nextIncomingId: number;
    readonly incomingWindow: number;
    readonly nextOutgoingId: number;
    readonly outgoingWindow: number;
    readonly link?: {
      readonly handle: number;
      readonly deliveryCount: number;
      readonly credit: number;
      readonly drain: boolean;
    };
  },
): Buffer {
  return frame(FRAME_AMQP, channel, performative.flow, [
    uint(flow.nextIncomingId),
    uint(flow.incomingWindow),
    uint(flow.nextOutgoingId),
    uint(flow.outgoingWindow),
    uint(flow.link?.handle),
    uint(flow.link?.deliveryCount),
    uint(flow.link?.credit),
    nil, // available
    boolean(flow.link?.drain ?? false),
    boolean(false), // echo
    nil, // properties
  ]);
}

/** Settles the deliveries from `first` to `last`, which the hub received (`role` true) or sent. */
export function dispositionFrame(
  channel: number,
  {
    role,
    first,
    last,
    state,
  }: { readonly role: boolean; readonly first: number; readonly last: number; readonly state: Outcome },
): Buffer {
  return frame(FRAME_AMQP, channel, performative.disposition, [
    boolean(role),
    uint(first),
    uint(last),
    boolean(true), // settled
    outcome(state),
    boolean(false), // batchable
  ]);
}

/** More than the bytes of a transfer frame before its payload, with a tag of 16 bytes. */
export const TRANSFER_FRAME_HEAD_BYTES_MAX = 72;

/** One frame of a delivery with a tag of its own. For settled ones, many at a time, see `transfer.ts`. */
export function transferFrame(
  channel: number,
  transfer: {
    readonly handle: number;
    readonly deliveryId: number;
    readonly tag: Uint8Array;
    readonly settled: boolean;
    readonly more: boolean;
  },
  payload: Uint8Array,
): Buffer {
  const fields = [
    uint(transfer.handle),
    uint(transfer.deliveryId),
    binary(transfer.tag),
    uint(0), // message-format
    boolean(transfer.settled),
    boolean(transfer.more),
    nil, // rcv-settle-mode
    nil, // state
    boolean(false), // resume
    boolean(false), // aborted
    boolean(false), // batchable
  ];
  return frame(FRAME_AMQP, channel, performative.transfer, fields, payload);
}

export function detachFrame(channel: number, handle: number, closed: boolean, cause?: AmqpError): Buffer {
  return frame(FRAME_AMQP, channel, performative.detach, [uint(handle), boolean(closed), error(cause)]);
}

export function endFrame(channel: number, cause?: AmqpError): Buffer {
  return frame(FRAME_AMQP, channel, performative.end, [error(cause)]);
}

export function closeFrame(cause?: AmqpError): Buffer {
  return frame(FRAME_AMQP, 0, performative.close, [error(cause)]);
}
