import { AmqpDecodeError, AmqpReader, type AmqpValue } from './values.ts';

/** Protocol ids of the eight-byte header (AMQP 1.0 part 2 section 2.2, part 5 section 5.3.1). */
export const PROTOCOL_AMQP = 0;
export const PROTOCOL_SASL = 3;
export const FRAME_AMQP = 0;
export const FRAME_SASL = 1;

const HEADER_BYTES = 8;
/** Fixed head of a frame: size, data offset, type, channel. */
export const FRAME_HEAD_BYTES = 8;

/** The eight bytes that begin a protocol layer. */
export function protocolHeader(protocol: number): Buffer {
  return Buffer.from([0x41, 0x4d, 0x51, 0x50, protocol, 1, 0, 0]);
}

export interface Frame {
  readonly type: number;
  readonly channel: number;
  /** Descriptor of the performative; undefined for an empty frame (a sign of life). */
  readonly code: number | undefined;
  readonly fields: readonly AmqpValue[];
  /** The fields' bytes as they came. */
  readonly raw: readonly Buffer[];
  /** What stands behind the performative: the message of a transfer. */
  readonly payload: Buffer;
}

export type Input = { readonly kind: 'header'; readonly protocol: number } | ({ readonly kind: 'frame' } & Frame);

const nothing = Buffer.alloc(0);

/**
 * Cuts a byte stream into protocol headers and frames. Keeps at most one incomplete frame, and never one whose announced
 * size is over `frameBytesMax`: the size is looked at before anything is kept.
 */
export class FrameSplitter {
  /** Largest frame that is taken, in bytes; may be raised while the connection lives. */
  frameBytesMax: number;
  #awaitsHeader = true;
  #parts: Buffer[] = [];
  #kept = 0;
  /** Bytes that the next header or frame needs before it can be looked at again. */
  #needed = HEADER_BYTES;

  constructor(frameBytesMax: number) {
    this.frameBytesMax = frameBytesMax;
  }

  /** A new protocol header is expected next, as after SASL. */
  expectHeader(): void {
    this.#awaitsHeader = true;
  }

  /**
   * Gives what `chunk` completes, one by one, in order: the reader of the sequence may change the splitter's state between
   * two of them.
   * @throws AmqpDecodeError (`amqp:framing-error`, `amqp:decode-error`); the stream is of no use any more.
   */
  *push(chunk: Buffer): Generator<Input> {
    this.#parts.push(chunk);
    this.#kept += chunk.length;
    if (this.#kept < this.#needed) return;
    const bytes = this.#parts.length === 1 ? chunk : Buffer.concat(this.#parts, this.#kept);
    this.#parts = [];
    this.#kept = 0;
    let at = 0;
    for (;;) {
      const size = this.#sizeOfNext(bytes, at);
      if (bytes.length - at < size) {
        this.#needed = size;
        if (at < bytes.length) {
          this.#parts.push(bytes.subarray(at));
          this.#kept = bytes.length - at;
        }
        return;
      }
      const isHeader = this.#awaitsHeader;
      this.#awaitsHeader = false;
      const end = at + size;
      yield isHeader ? readHeader(bytes, at) : readFrame(bytes, at, end);
      at = end;
    }
  }

  #sizeOfNext(bytes: Buffer, at: number): number {
    if (this.#awaitsHeader) return HEADER_BYTES;
    if (bytes.length - at < 4) return 4;
    const size = bytes.readUInt32BE(at);
    if (size < FRAME_HEAD_BYTES || size > this.frameBytesMax) {
      throw new AmqpDecodeError(`a frame of ${size} bytes is not taken`, 'amqp:framing-error');
    }
    return size;
  }
}

function readHeader(bytes: Buffer, at: number): Input {
  const isAmqp1 = bytes.readUInt32BE(at) === 0x414d5150 && bytes.readUIntBE(at + 5, 3) === 0x010000;
  if (!isAmqp1) throw new AmqpDecodeError('the peer does not speak AMQP 1.0', 'amqp:framing-error');
  return { kind: 'header', protocol: bytes[at + 4] };
}

function readFrame(bytes: Buffer, at: number, end: number): Input {
  const bodyAt = at + bytes[at + 4] * 4;
  if (bodyAt < at + FRAME_HEAD_BYTES || bodyAt > end) {
    throw new AmqpDecodeError('the data offset of a frame points outside it', 'amqp:framing-error');
  }
  const type = bytes[at + 5];
  const channel = bytes.readUInt16BE(at + 6);
  if (bodyAt === end) {
    return { kind: 'frame', type, channel, code: undefined, fields: [], raw: [], payload: nothing };
  }
  const reader = new AmqpReader(bytes, bodyAt, end);
  const code = Number(reader.descriptor());
  const { values, raw } = reader.list();
  return { kind: 'frame', type, channel, code, fields: values, raw, payload: bytes.subarray(reader.at, end) };
}
