/** What the hub sends, as bytes. Packets without variable parts are made once. */
import { assert } from '../../base/assert.ts';
import { packetTypes } from './packets.ts';

/** CONNACK return codes, section 3.2.2.3. */
export const connackCodes = {
  accepted: 0,
  unacceptableProtocolVersion: 1,
  identifierRejected: 2,
  serverUnavailable: 3,
  badUserNameOrPassword: 4,
  notAuthorized: 5,
} as const;

export type ConnackCode = (typeof connackCodes)[keyof typeof connackCodes];

/** Bytes of one PUBACK, section 3.4. */
export const PUBACK_BYTES = 4;
const PUBACK_HEAD = packetTypes.puback << 4;

export const pingresp: Buffer = Buffer.from([packetTypes.pingresp << 4, 0]);

/** @param sessionPresent is sent as 0 with every code but `accepted` [MQTT-3.2.2-4]. */
export function connack(code: ConnackCode, sessionPresent = false): Buffer {
  return Buffer.from([packetTypes.connack << 4, 2, code === 0 && sessionPresent ? 1 : 0, code]);
}

/** To a CONNECT of MQTT 5, in its own form: reason code 0x84, "unsupported protocol version", no properties (MQTT 5 section 3.2). */
export const connackUnsupportedVersion5: Buffer = Buffer.from([packetTypes.connack << 4, 3, 0, 0x84, 0]);

export function puback(packetId: number): Buffer {
  const bytes = Buffer.allocUnsafe(PUBACK_BYTES);
  writePuback(bytes, 0, packetId);
  return bytes;
}

/** Writes a PUBACK into `target` and returns the place behind it. */
export function writePuback(target: Buffer, at: number, packetId: number): number {
  target[at] = PUBACK_HEAD;
  target[at + 1] = 2;
  target[at + 2] = packetId >> 8;
  target[at + 3] = packetId & 0xff;
  return at + PUBACK_BYTES;
}

/** @param granted one QoS per requested filter, in their order [MQTT-3.8.4-5]. */
export function suback(packetId: number, granted: readonly number[]): Buffer {
  const head = fixedHeader(packetTypes.suback << 4, 2 + granted.length, 2);
  head.writeUInt16BE(packetId, head.length - 2);
  return Buffer.concat([head, Uint8Array.from(granted)]);
}

export function unsuback(packetId: number): Buffer {
  return Buffer.from([packetTypes.unsuback << 4, 2, packetId >> 8, packetId & 0xff]);
}

/** Longest topic, in UTF-8: its length field has two bytes (section 1.5.3). */
export const TOPIC_BYTES_MAX = 0xffff;

/** A PUBLISH at QoS 0. @param topic at most `TOPIC_BYTES_MAX`. */
export function publishAtMostOnce(topic: string, payload: Uint8Array): Buffer {
  return Buffer.concat([publishHead(0, topic, 0, payload.length), payload]);
}

/** A PUBLISH at QoS 1. @param topic at most `TOPIC_BYTES_MAX`. @param duplicate it may have been sent before (3.3.1.1). */
export function publishAtLeastOnce(topic: string, payload: Uint8Array, packetId: number, duplicate: boolean): Buffer {
  const head = publishHead(duplicate ? 0x0a : 0x02, topic, 2, payload.length);
  head.writeUInt16BE(packetId, head.length - 2);
  return Buffer.concat([head, payload]);
}

/** Everything before the payload, the last `room` bytes of it unwritten. */
function publishHead(flags: number, topic: string, room: number, payloadBytes: number): Buffer {
  const topicBytes = Buffer.byteLength(topic);
  assert(topicBytes <= TOPIC_BYTES_MAX, 'a topic fits its length field');
  const fields = 2 + topicBytes + room;
  const head = fixedHeader((packetTypes.publish << 4) | flags, fields + payloadBytes, fields);
  const at = head.writeUInt16BE(topicBytes, head.length - fields);
  head.write(topic, at);
  return head;
}

/** First byte and remaining length (section 2.2), with `room` bytes behind them. */
function fixedHeader(first: number, remaining: number, room: number): Buffer {
  const bytes = [first];
  let left = remaining;
  do {
    bytes.push(left > 0x7f ? (left & 0x7f) | 0x80 : left);
    left >>= 7;
  } while (left > 0);
  const head = Buffer.alloc(bytes.length + room);
  head.set(bytes);
  return head;
}
