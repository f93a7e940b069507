/**
 * MQTT 3.1.1 control packets as values. Section numbers in this folder are those of the OASIS standard "MQTT Version
 * 3.1.1"; normative statements are cited by their own numbers, e.g. [MQTT-3.1.0-2].
 */

/** Control packet types, section 2.2.1: the upper four bits of a packet's first byte. */
export const packetTypes = {
  connect: 1,
  connack: 2,
  publish: 3,
  puback: 4,
  pubrec: 5,
  pubrel: 6,
  pubcomp: 7,
  subscribe: 8,
  suback: 9,
  unsubscribe: 10,
  unsuback: 11,
  pingreq: 12,
  pingresp: 13,
  disconnect: 14,
} as const;

/** What a client may send. Buffers are views into the bytes that were read: copy what must outlive the call. */
export type ClientPacket =
  | ConnectPacket
  | ForeignConnectPacket
  | PublishPacket
  | SubscribePacket
  | UnsubscribePacket
  | { readonly kind: 'puback' | 'pubrec' | 'pubrel' | 'pubcomp'; readonly packetId: number }
  | { readonly kind: 'pingreq' }
  | { readonly kind: 'disconnect' };

export interface ConnectPacket {
  readonly kind: 'connect';
  readonly cleanSession: boolean;
  /** 0 = the client asks for no keep alive. */
  readonly keepAliveSeconds: number;
  readonly clientId: string;
  readonly will: Will | undefined;
  readonly userName: string | undefined;
  readonly password: Buffer | undefined;
}

export interface Will {
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: number;
  readonly retain: boolean;
}

/** A CONNECT of another protocol version; nothing behind the version has been read. */
export interface ForeignConnectPacket {
  readonly kind: 'foreignConnect';
  readonly protocolName: string;
  readonly level: number;
}

export interface PublishPacket {
  readonly kind: 'publish';
  readonly qos: number;
  readonly duplicate: boolean;
  readonly retain: boolean;
  readonly topic: string;
  /** 0 at QoS 0, which has none. */
  readonly packetId: number;
  readonly payload: Buffer;
}

export interface SubscribePacket {
  readonly kind: 'subscribe';
  readonly packetId: number;
  readonly requests: readonly { readonly filter: string; readonly qos: number }[];
}

export interface UnsubscribePacket {
  readonly kind: 'unsubscribe';
  readonly packetId: number;
  readonly filters: readonly string[];
}

/** The bytes are not what the standard allows; the connection must be closed [MQTT-4.8.0-1]. */
export class MalformedPacket extends Error {
  override readonly name = 'MalformedPacket';
  /** The topic or filter that it is about. */
  readonly subject: string | undefined;

  constructor(rule: string, subject?: string) {
    super(rule);
    this.subject = subject;
  }
}

/** Bytes of a topic that a refusal names; the part that shows it cuts it to what people read. */
const SUBJECT_BYTES_MAX = 1024;

/**
 * The topic of a packet that cannot be handled, for people: of a PUBLISH, as far as it has come; else undefined.
 * @param body where its fixed header ends; `end`: where the packet ends, or what has come of it
 */
export function topicForRefusal(bytes: Buffer, start: number, body: number, end: number): string | undefined {
  if (bytes[start] >> 4 !== packetTypes.publish || body + 2 > end) return undefined;
  const topicEnd = body + 2 + Math.min(bytes.readUInt16BE(body), SUBJECT_BYTES_MAX);
  return bytes.toString('utf8', body + 2, Math.min(topicEnd, end));
}
