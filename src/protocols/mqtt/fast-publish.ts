import { limits } from '../../base/limits.ts';
import type { PreparedTelemetry } from '../../core/events/room.ts';

const PUBLISH_QOS_0 = 0x30;
const PUBLISH_QOS_1 = 0x32;
const PUBLISH_QOS_1_DUPLICATE = 0x3a;

/**
 * The fast path in front of the general one: a telemetry PUBLISH whose topic, property bag included, has the very bytes of
 * the one before. What those bytes mean has been decided then, so they are compared and nothing is decoded.
 *
 * A topic is remembered when it is seen first, and prepared when it is seen again: a device whose topics never repeat
 * (message ids) costs a copy of each topic, one that repeats them costs one preparation.
 *
 *     if (fast.matches(bytes, start, body, end)) …   // then `prepared`, `packetId` and `payloadAt` are those of the packet
 *     else { …general path…; if (fast.isRepeated(topic)) fast.prepare(…); }
 */
export class FastPublish {
  /** Of the packet that `matches` found; 0 at QoS 0. */
  packetId = 0;
  payloadAt = 0;
  #prepared: PreparedTelemetry | undefined;
  #topic = Buffer.alloc(0);
  #topicBytes = 0;

  /** What the topic means. Only after `matches` has said yes. */
  get prepared(): PreparedTelemetry {
    return this.#prepared as PreparedTelemetry;
  }

  /**
   * Whether the packet may be taken without decoding. What is odd about it in any way (retain, QoS 2, no packet id, a
   * packet that ends too early) is left to the general path, which knows what to answer.
   */
  matches(bytes: Buffer, start: number, body: number, end: number): boolean {
    if (this.#prepared === undefined) return false;
    const first = bytes[start];
    const topicAt = body + 2;
    const topicBytes = this.#topicBytes;
    const behind = topicAt + topicBytes;
    if (behind > end || ((bytes[body] << 8) | bytes[body + 1]) !== topicBytes) return false;
    if (first === PUBLISH_QOS_0) {
      this.packetId = 0;
      this.payloadAt = behind;
    } else if (first === PUBLISH_QOS_1 || first === PUBLISH_QOS_1_DUPLICATE) {
      if (behind + 2 > end) return false;
      this.packetId = (bytes[behind] << 8) | bytes[behind + 1];
      if (this.packetId === 0) return false;
      this.payloadAt = behind + 2;
    } else {
      return false;
    }
    const topic = this.#topic;
    // From the end: topics of one device differ in their property bags.
    for (let at = topicBytes - 1; at >= 0; at--) if (bytes[topicAt + at] !== topic[at]) return false;
    return true;
  }

  /** Whether the topic (from `topicAt` to `topicEnd`) is that of the message before; if not, it is remembered, unless it is overlong. */
  isRepeated(bytes: Buffer, topicAt: number, topicEnd: number): boolean {
    const topicBytes = topicEnd - topicAt;
    if (topicBytes === this.#topicBytes && bytes.compare(this.#topic, 0, topicBytes, topicAt, topicEnd) === 0)
      return true;
    this.#prepared = undefined;
    this.#topicBytes = 0;
    if (topicBytes > limits.mqttRememberedTopicBytesMax) return false;
    if (this.#topic.length < topicBytes) this.#topic = Buffer.allocUnsafeSlow(topicBytes);
    bytes.copy(this.#topic, 0, topicAt, topicEnd);
    this.#topicBytes = topicBytes;
    return false;
  }

  /** Gives the remembered topic its meaning. */
  prepare(prepared: PreparedTelemetry): void {
    this.#prepared = prepared;
  }
}
