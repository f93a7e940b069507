/**
 * Messages as plain records of Kafka, which its own consumers read: what stands behind a record's head is the key, the value and the
 * headers, each behind its length. A template holds the bytes before and behind the body.
 */
import type { MessageHead, RecordCodec, RecordTemplate, RoutingMark } from '../../core/events/ports.ts';
import type { HubEventStamp, Telemetry } from '../../core/events/types.ts';
import { varintBytes, writeVarint } from '../../wire/kafka/record-batch.ts';
import { HUB_TIME, headersOf, ROUTING, ROUTING_DIGITS, TIME_DIGITS } from './headers.ts';

export const kafkaRecordCodec: RecordCodec = {
  encode(stamp, telemetry, enqueuedTime, mark = 0) {
    const template = new KafkaTemplate(stamp, telemetry);
    const { body } = telemetry;
    const bytes = Buffer.allocUnsafe(template.size(body.length, mark));
    template.write(bytes, 0, enqueuedTime, body, 0, body.length, mark);
    return bytes;
  },
  template: (stamp, message) => new KafkaTemplate(stamp, message),
};

class KafkaTemplate implements RecordTemplate {
  /** The key, behind its length. */
  readonly #before: Buffer;
  /** Headers, of which the last one's value is the time. */
  readonly #behind: Buffer;
  readonly #stamp: HubEventStamp;
  readonly #message: Omit<Telemetry, 'body'>;
  /** The same with the header of a mark as the last but one, and the mark. */
  #routed: Buffer | undefined;
  #mark: RoutingMark = 0;

  constructor(stamp: HubEventStamp, message: Omit<Telemetry, 'body'>) {
    const { deviceId } = stamp;
    this.#before = withLength(deviceId === undefined ? null : Buffer.from(deviceId));
    this.#stamp = stamp;
    this.#message = message;
    this.#behind = this.#headers(0);
  }

  message(): MessageHead {
    return this.#message;
  }

  #headers(mark: RoutingMark): Buffer {
    const headers = [...headersOf(this.#stamp, this.#message)];
    if (mark !== 0) headers.push([ROUTING, mark.toString(16).padStart(ROUTING_DIGITS, '0')]);
    const pieces: Buffer[] = [varint(headers.length + 1)];
    for (const [name, value] of headers) {
      pieces.push(withLength(Buffer.from(name)), withLength(value === null ? null : Buffer.from(value)));
    }
    pieces.push(withLength(Buffer.from(HUB_TIME)), withLength(Buffer.alloc(TIME_DIGITS, '0')));
    return Buffer.concat(pieces);
  }

  /** What stands behind the body. Messages of one template mostly have one mark. */
  #behindOf(mark: RoutingMark): Buffer {
    if (mark === 0) return this.#behind;
    if (this.#routed === undefined || this.#mark !== mark) {
      this.#routed = this.#headers(mark);
      this.#mark = mark;
    }
    return this.#routed;
  }

  size(bodyBytes: number, mark: RoutingMark): number {
    return this.#before.length + varintBytes(bodyBytes) + bodyBytes + this.#behindOf(mark).length;
  }

  write(
    target: Buffer,
    at: number,
    enqueuedTime: number,
    source: Uint8Array,
    bodyStart: number,
    bodyEnd: number,
    mark: RoutingMark,
  ): void {
    const behind = this.#behindOf(mark);
    target.set(this.#before, at);
    let place = writeVarint(target, at + this.#before.length, bodyEnd - bodyStart);
    target.set(bodyStart === 0 && bodyEnd === source.length ? source : source.subarray(bodyStart, bodyEnd), place);
    place += bodyEnd - bodyStart;
    target.set(behind, place);
    place += behind.length;
    target.set(digitsOf(enqueuedTime), place - TIME_DIGITS);
  }
}

const digits = Buffer.alloc(TIME_DIGITS);
let digitsTime = -1;

/** The time in digits, in memory that the next call uses again. All messages of a millisecond have the same: making them costs as much as all else of a record. */
function digitsOf(time: number): Buffer {
  if (time !== digitsTime) {
    digits.write(String(time).padStart(TIME_DIGITS, '0'), 'latin1');
    digitsTime = time;
  }
  return digits;
}

function varint(value: number): Buffer {
  const bytes = Buffer.alloc(5);
  return bytes.subarray(0, writeVarint(bytes, 0, value));
}

/** Behind its length; null is a length of -1. */
function withLength(bytes: Buffer | null): Buffer {
  return bytes === null ? varint(-1) : Buffer.concat([varint(bytes.length), bytes]);
}
