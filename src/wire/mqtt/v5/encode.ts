/** What a server of MQTT 5 sends, as bytes. */
import { packetTypes } from '../packets.ts';

/** Reason codes that are used, section 2.4. */
export const reasonCodes = {
  success: 0x00,
  disconnectWithWill: 0x04,
  noSubscriptionExisted: 0x11,
  unspecifiedError: 0x80,
  malformedPacket: 0x81,
  unsupportedProtocolVersion: 0x84,
  clientIdentifierNotValid: 0x85,
  badUserNameOrPassword: 0x86,
  notAuthorized: 0x87,
  serverUnavailable: 0x88,
  serverShuttingDown: 0x8b,
  badAuthenticationMethod: 0x8c,
  keepAliveTimeout: 0x8d,
  sessionTakenOver: 0x8e,
  topicFilterInvalid: 0x8f,
  topicNameInvalid: 0x90,
  packetTooLarge: 0x95,
  quotaExceeded: 0x97,
  sharedSubscriptionsNotSupported: 0x9e,
  subscriptionIdentifiersNotSupported: 0xa1,
} as const;

export type ReasonCode = (typeof reasonCodes)[keyof typeof reasonCodes];

export interface ConnackFacts {
  readonly sessionPresent: boolean;
  /** QoS 1 and 2 messages that the client may have unacknowledged. */
  readonly receiveMax: number;
  readonly packetBytesMax: number;
  /** Given to a client that brought no client id. */
  readonly assignedClientId?: string;
  /** The client is to use that one instead of its own (3.2.2.3.14). */
  readonly keepAliveSeconds?: number;
  /** How long its session is kept, where that is not what it has asked for (3.2.2.3.2). */
  readonly sessionExpirySeconds?: number;
}

/** An accepting CONNACK, section 3.2: no topic aliases, subscription identifiers or shared subscriptions. */
export function connackAccepted(facts: ConnackFacts): Buffer {
  const properties: Buffer[] = [
    numbered(0x21, 2, facts.receiveMax),
    numbered(0x27, 4, facts.packetBytesMax),
    numbered(0x29, 1, 0),
    numbered(0x2a, 1, 0),
  ];
  if (facts.keepAliveSeconds !== undefined) properties.push(numbered(0x13, 2, facts.keepAliveSeconds));
  if (facts.sessionExpirySeconds !== undefined) properties.push(numbered(0x11, 4, facts.sessionExpirySeconds));
  if (facts.assignedClientId !== undefined) properties.push(Buffer.from([0x12]), text(facts.assignedClientId));
  const sessionPresent = facts.sessionPresent ? 1 : 0;
  return packet(packetTypes.connack << 4, Buffer.from([sessionPresent, reasonCodes.success]), lengthAnd(properties));
}

/** @param reason at least 0x80 */
export function connackRefused(reason: ReasonCode): Buffer {
  return Buffer.from([packetTypes.connack << 4, 3, 0, reason, 0]);
}

export function disconnect(reason: ReasonCode): Buffer {
  return Buffer.from([packetTypes.disconnect << 4, 1, reason]);
}

/** PUBACK, PUBREC or PUBCOMP. A reason of 0 is left out, as section 3.4.2.1 allows. */
export function acknowledgement(kind: 'puback' | 'pubrec' | 'pubcomp', packetId: number, reason: ReasonCode): Buffer {
  const head = packetTypes[kind] << 4;
  return reason === 0
    ? Buffer.from([head, 2, packetId >> 8, packetId & 0xff])
    : Buffer.from([head, 3, packetId >> 8, packetId & 0xff, reason]);
}

/** SUBACK or UNSUBACK: @param codes granted QoS or reason code per filter, in their order */
export function subscribed(kind: 'suback' | 'unsuback', packetId: number, codes: readonly number[]): Buffer {
  return packet(packetTypes[kind] << 4, Buffer.from([packetId >> 8, packetId & 0xff, 0]), Uint8Array.from(codes));
}

export interface OutboundMessage {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly retain: boolean;
  readonly duplicate: boolean;
  /** 0 = QoS 0, without packet id. */
  readonly packetId: number;
  /** At most a few: what a command's properties say. */
  readonly user?: readonly (readonly [name: string, value: string])[];
}

/** A PUBLISH at QoS 0 or 1. @param message its topic has at most 65,535 bytes */
export function publish({ topic, payload, retain, duplicate, packetId, user = [] }: OutboundMessage): Buffer {
  const flags = (duplicate ? 8 : 0) | (packetId === 0 ? 0 : 2) | (retain ? 1 : 0);
  const id = packetId === 0 ? Buffer.alloc(0) : Buffer.from([packetId >> 8, packetId & 0xff]);
  const properties = user.map(([name, value]) => Buffer.concat([Buffer.from([0x26]), text(name), text(value)]));
  return packet((packetTypes.publish << 4) | flags, text(topic), id, lengthAnd(properties), payload);
}

function packet(first: number, ...parts: readonly Uint8Array[]): Buffer {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  return Buffer.concat([Buffer.from([first, ...variableNumber(length)]), ...parts]);
}

function lengthAnd(properties: readonly Buffer[]): Buffer {
  const all = Buffer.concat(properties);
  return Buffer.concat([Buffer.from(variableNumber(all.length)), all]);
}

function numbered(id: number, bytes: 1 | 2 | 4, value: number): Buffer {
  const buffer = Buffer.alloc(1 + bytes, id);
  buffer.writeUIntBE(value, 1, bytes);
  return buffer;
}

function text(value: string): Buffer {
  const bytes = Buffer.byteLength(value);
  const buffer = Buffer.allocUnsafe(2 + bytes);
  buffer.writeUInt16BE(bytes);
  buffer.write(value, 2);
  return buffer;
}

function variableNumber(value: number): number[] {
  const bytes: number[] = [];
  let left = value;
  do {
    bytes.push(left > 0x7f ? (left & 0x7f) | 0x80 : left);
    left >>= 7;
  } while (left > 0);
  return bytes;
}
