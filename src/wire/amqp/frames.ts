import { limits } from '../../base/limits.ts';
import { AmqpDecodeError, AmqpReader, type AmqpValue, HeapBudget } from './values.ts';

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
  /** One field's bytes as they came. */
  readonly raw: (field: number) => Buffer;
  /** The performative is an attach of more than `limits.amqpAttachBytesMax`: only its name, handle and role were read. */
  readonly isCut: boolean;
  /** What the fields take in memory, about. */
  readonly decodedBytes: number;
  /** What stands behind the performative: the message of a transfer. */
  readonly payload: Buffer;
}

export type Input = { readonly kind: 'header'; readonly protocol: number } | ({ readonly kind: 'frame' } & Frame);

const nothing = Buffer.alloc(0);
/** Of an attach: up to these fields it says which link is to be refused. */
const ATTACH_CODE = 0x12;
const ATTACH_ROLE_FIELD = 2;

/**
 * Cuts a byte stream into protocol headers and frames. Keeps at most one incomplete frame, and never one whose announced
 * size is over `frameBytesMax`: the size is looked at before anything is kept.
 */
export class FrameSplitter {
  /** Largest frame that is taken, in bytes; may be raised while the connection lives. */
  frameBytesMax: number;
  #awaitsHeader = true;
  /** The beginning of an unfinished frame, in a buffer of its own: a part is a view of a chunk and costs far more than its bytes. */
  #kept = nothing;
  #size = 0;
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
    if (this.#size + chunk.length < this.#needed) {
      this.#keep(chunk);
      return;
    }
    const bytes = this.#size === 0 ? chunk : Buffer.concat([this.#kept.subarray(0, this.#size), chunk]);
    this.#kept = nothing;
    this.#size = 0;
    let at = 0;
    for (;;) {
      const size = this.#sizeOfNext(bytes, at);
      if (bytes.length - at < size) {
        this.#needed = size;
        if (at < bytes.length) this.#keep(bytes.subarray(at));
        return;
      }
      const isHeader = this.#awaitsHeader;
      this.#awaitsHeader = false;
      const end = at + size;
      yield isHeader ? readHeader(bytes, at) : readFrame(bytes, at, end);
      at = end;
    }
  }

  #keep(part: Buffer): void {
    const size = this.#size + part.length;
    if (size > this.#kept.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(size, Math.min(2 * this.#kept.length, this.#needed)));
      this.#kept.copy(grown, 0, 0, this.#size);
      this.#kept = grown;
    }
    part.copy(this.#kept, this.#size);
    this.#size = size;
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
    return {
      kind: 'frame',
      type,
      channel,
      code: undefined,
      fields: [],
      raw: () => nothing,
      isCut: false,
      decodedBytes: 0,
      payload: nothing,
    };
  }
  const budget = new HeapBudget(limits.amqpFrameDecodedBytesMax);
  const reader = new AmqpReader(bytes, bodyAt, end, budget);
  const code = Number(reader.descriptor());
  const isCut = code === ATTACH_CODE && reader.listBytes > limits.amqpAttachBytesMax;
  const { values, raw } = reader.list(isCut ? ATTACH_ROLE_FIELD + 1 : undefined);
  return {
    kind: 'frame',
    type,
    channel,
    code,
    fields: values,
    raw,
    isCut,
    decodedBytes: limits.amqpFrameDecodedBytesMax - budget.left,
    payload: bytes.subarray(reader.at, end),
  };
}
