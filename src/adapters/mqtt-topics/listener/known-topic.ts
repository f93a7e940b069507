/**
 * The topic of a connection's last message. Most devices have one for all of theirs: its bytes are compared, and neither checked nor made
 * a text again. What is odd about a packet (a flag, QoS 2, properties, another topic) goes the way of all packets.
 */
import { limits } from '../../../base/limits.ts';
import type { PublishPacket } from '../../../wire/mqtt/packets.ts';

const PUBLISH_AT_MOST_ONCE = 0x30;
const PUBLISH_AT_LEAST_ONCE = 0x32;

export class KnownTopic {
  readonly #version: 4 | 5;
  #topic = '';
  /** With their length before them (1.5.3). */
  #bytes: Buffer = Buffer.alloc(0);

  constructor(version: 4 | 5) {
    this.#version = version;
  }

  /** The packet, if it is a plain one on that topic. Its payload is a view. */
  read(bytes: Buffer, start: number, body: number, end: number): PublishPacket | undefined {
    const known = this.#bytes;
    const first = bytes[start];
    const isAcknowledged = first === PUBLISH_AT_LEAST_ONCE;
    if ((!isAcknowledged && first !== PUBLISH_AT_MOST_ONCE) || known.length === 0) return undefined;
    let at = body + known.length;
    if (at + 3 > end) return undefined;
    // From the end, where topics of one device differ: a call of `compare` costs more than so few bytes.
    for (let last = known.length - 1; last >= 0; last--) if (bytes[body + last] !== known[last]) return undefined;
    let packetId = 0;
    if (isAcknowledged) {
      packetId = (bytes[at] << 8) | bytes[at + 1];
      at += 2;
      if (packetId === 0) return undefined;
    }
    // No properties.
    if (this.#version === 5 && bytes[at++] !== 0) return undefined;
    const payload = bytes.subarray(at, end);
    return {
      kind: 'publish',
      qos: isAcknowledged ? 1 : 0,
      duplicate: false,
      retain: false,
      topic: this.#topic,
      packetId,
      payload,
    };
  }

  remember(topic: string): void {
    const length = Buffer.byteLength(topic);
    if (topic === this.#topic || length > limits.mqttTopicsTopicBytesMax) return;
    this.#topic = topic;
    this.#bytes = Buffer.allocUnsafeSlow(2 + length);
    this.#bytes.writeUInt16BE(length);
    this.#bytes.write(topic, 2);
  }
}
