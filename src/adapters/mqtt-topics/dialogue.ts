/** What differs between MQTT 3.1.1 and 5 on one connection: how packets are read and written. */
import { decodePacket } from '../../wire/mqtt/decode.ts';
import {
  connack,
  connackCodes,
  publishAtLeastOnce,
  publishAtMostOnce,
  suback,
  unsuback,
} from '../../wire/mqtt/encode.ts';
import type { ClientPacket } from '../../wire/mqtt/packets.ts';
import { type ClientPacket5, decodePacket5 } from '../../wire/mqtt/v5/decode.ts';
import * as v5 from '../../wire/mqtt/v5/encode.ts';

export type Packet = ClientPacket | ClientPacket5;
export type Outcome = v5.ReasonCode;
export const outcomes = v5.reasonCodes;

export interface Dialogue {
  readonly version: 4 | 5;
  decode(bytes: Buffer, start: number, body: number, end: number): Packet;
  accepted(facts: v5.ConnackFacts): Buffer;
  refused(reason: Outcome): Buffer;
  /** @param reason over 0x7f is said in MQTT 5 alone: 3.1.1 has no refusal, and the message counts as taken */
  acknowledgement(kind: 'puback' | 'pubrec' | 'pubcomp', packetId: number, reason: Outcome): Buffer;
  /** @param codes reason codes of MQTT 5; 3.1.1 knows 0x80 only */
  subscribed(packetId: number, codes: readonly number[]): Buffer;
  unsubscribed(packetId: number, count: number): Buffer;
  publish(message: v5.OutboundMessage): Buffer;
  /** Empty = the connection is closed without a word. */
  closing(reason: Outcome): Buffer;
}

const NOTHING = Buffer.alloc(0);

export const version4: Dialogue = {
  version: 4,
  decode: decodePacket,
  accepted: ({ sessionPresent }) => connack(connackCodes.accepted, sessionPresent),
  refused: (reason) => connack(refusals.get(reason) ?? connackCodes.notAuthorized),
  acknowledgement: (kind, packetId) => v5.acknowledgement(kind, packetId, outcomes.success),
  subscribed: (packetId, codes) =>
    suback(
      packetId,
      codes.map((code) => (code > 2 ? 0x80 : code)),
    ),
  unsubscribed: (packetId) => unsuback(packetId),
  publish: ({ topic, payload, duplicate, packetId, retain }) => {
    const bytes =
      packetId === 0 ? publishAtMostOnce(topic, payload) : publishAtLeastOnce(topic, payload, packetId, duplicate);
    if (retain) bytes[0] |= 1;
    return bytes;
  },
  closing: () => NOTHING,
};

export const version5: Dialogue = {
  version: 5,
  decode: decodePacket5,
  accepted: v5.connackAccepted,
  refused: v5.connackRefused,
  acknowledgement: v5.acknowledgement,
  subscribed: (packetId, codes) => v5.subscribed('suback', packetId, codes),
  unsubscribed: (packetId, count) => v5.subscribed('unsuback', packetId, new Array<number>(count).fill(0)),
  publish: v5.publish,
  closing: v5.disconnect,
};

const refusals: ReadonlyMap<Outcome, 1 | 2 | 3 | 4 | 5> = new Map([
  [outcomes.unsupportedProtocolVersion, connackCodes.unacceptableProtocolVersion],
  [outcomes.clientIdentifierNotValid, connackCodes.identifierRejected],
  [outcomes.serverUnavailable, connackCodes.serverUnavailable],
  [outcomes.badUserNameOrPassword, connackCodes.badUserNameOrPassword],
]);
