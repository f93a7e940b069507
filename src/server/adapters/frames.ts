/**
 * What an adapter's process and the hub say to each other, as bytes. A frame is its length (u32), a kind (u8) and a payload:
 *
 *     word       JSON: everything that is seldom
 *     message    session (u32), slot (u8), length of the head (u16), head (JSON, '' = none), body   adapter -> hub
 *     again      session (u32), slot (u8), body                                            adapter -> hub
 *     done       pairs of a session (u32) and how many of its messages are durable (u32)   hub -> adapter
 *     command    length of the head (u32), head (JSON), body                               hub -> adapter
 *
 * A head that comes again is named, not repeated: a `message` puts its head into a slot of the session (0 = it is that message's own), and
 * an `again` is a message with the head that was put there last.
 *
 * Lengths are bounded before anything of a frame is kept: the other end may be broken.
 */
import { limits } from '../../base/limits.ts';

export const frameKinds = { word: 1, message: 2, done: 3, command: 4, again: 5 } as const;
export type FrameKind = (typeof frameKinds)[keyof typeof frameKinds];

const HEAD_BYTES = 5;
/** Frames of many turns of the loop lie in one piece of memory, behind each other. */
const SLAB_BYTES = 64 * 1024;

/** The other end does not keep to the layout: nothing more can be read of it. */
export class FrameFault extends Error {
  override readonly name = 'FrameFault';
}

/** Collects frames until `take`. */
export class FrameWriter {
  #bytes = Buffer.allocUnsafeSlow(SLAB_BYTES);
  /** What is before it was taken. */
  #start = 0;
  #end = 0;
  /** Of a `done` frame that is being written, or -1. */
  #doneAt = -1;

  get isEmpty(): boolean {
    return this.#end === this.#start;
  }

  get length(): number {
    return this.#end - this.#start;
  }

  word(value: unknown): void {
    const text = JSON.stringify(value);
    const bytes = Buffer.byteLength(text);
    this.#begin(frameKinds.word, bytes);
    this.#end += this.#bytes.write(text, this.#end, 'utf8');
  }

  message(session: number, slot: number, head: Buffer, body: Uint8Array | string): void {
    this.#begin(frameKinds.message, 7 + head.length + bytesOf(body));
    this.#end = this.#bytes.writeUInt32LE(session, this.#end);
    this.#end = this.#bytes.writeUInt8(slot, this.#end);
    this.#end = this.#bytes.writeUInt16LE(head.length, this.#end);
    this.#end += head.copy(this.#bytes, this.#end);
    this.#body(body);
  }

  again(session: number, slot: number, body: Uint8Array | string): void {
    this.#begin(frameKinds.again, 5 + bytesOf(body));
    this.#end = this.#bytes.writeUInt32LE(session, this.#end);
    this.#end = this.#bytes.writeUInt8(slot, this.#end);
    this.#body(body);
  }

  command(head: unknown, body: Uint8Array): void {
    const text = JSON.stringify(head);
    const headBytes = Buffer.byteLength(text);
    this.#begin(frameKinds.command, 4 + headBytes + body.length);
    this.#end = this.#bytes.writeUInt32LE(headBytes, this.#end);
    this.#end += this.#bytes.write(text, this.#end, 'utf8');
    this.#bytes.set(body, this.#end);
    this.#end += body.length;
  }

  /** Pairs that follow each other share a frame. */
  done(session: number, count: number): void {
    if (this.#doneAt === -1 || this.#end - this.#doneAt > limits.adapterFrameBytesMax / 2) {
      this.#begin(frameKinds.done, 8);
      this.#doneAt = this.#end - HEAD_BYTES;
    } else {
      this.#grow(8);
      this.#bytes.writeUInt32LE(this.#bytes.readUInt32LE(this.#doneAt) + 8, this.#doneAt);
    }
    this.#end = this.#bytes.writeUInt32LE(session, this.#end);
    this.#end = this.#bytes.writeUInt32LE(count, this.#end);
  }

  /** What was collected; the writer begins anew. */
  take(): Buffer {
    const taken = this.#bytes.subarray(this.#start, this.#end);
    this.#start = this.#end;
    this.#doneAt = -1;
    return taken;
  }

  #body(body: Uint8Array | string): void {
    if (typeof body === 'string') this.#end += this.#bytes.write(body, this.#end, 'utf8');
    else {
      this.#bytes.set(body, this.#end);
      this.#end += body.length;
    }
  }

  #begin(kind: FrameKind, payload: number): void {
    this.#doneAt = -1;
    this.#grow(HEAD_BYTES + payload);
    this.#end = this.#bytes.writeUInt32LE(payload + 1, this.#end);
    this.#end = this.#bytes.writeUInt8(kind, this.#end);
  }

  #grow(by: number): void {
    if (this.#end + by <= this.#bytes.length) return;
    const length = this.#end - this.#start;
    const larger = Buffer.allocUnsafeSlow(Math.max(SLAB_BYTES, 2 * (length + by)));
    this.#bytes.copy(larger, 0, this.#start, this.#end);
    if (this.#doneAt !== -1) this.#doneAt -= this.#start;
    this.#start = 0;
    this.#end = length;
    this.#bytes = larger;
  }
}

const bytesOf = (body: Uint8Array | string): number =>
  typeof body === 'string' ? Buffer.byteLength(body) : body.length;

/** One frame: its payload lies in `bytes` from `start` to `end`, and is the reader's until the call is over. */
export type TakeFrame = (kind: number, bytes: Buffer, start: number, end: number) => void;

export class FrameReader {
  #rest: Buffer | undefined;
  readonly #bytesMax: number;

  constructor(bytesMax: number = limits.adapterFrameBytesMax) {
    this.#bytesMax = bytesMax;
  }

  /** @throws FrameFault, and what `take` throws */
  push(chunk: Buffer, take: TakeFrame): void {
    const bytes = this.#rest === undefined ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    while (bytes.length - at >= HEAD_BYTES) {
      const length = bytes.readUInt32LE(at);
      if (length < 1 || length > this.#bytesMax) throw new FrameFault(`a frame of ${length} bytes`);
      if (bytes.length - at < 4 + length) break;
      take(bytes[at + 4], bytes, at + HEAD_BYTES, at + 4 + length);
      at += 4 + length;
    }
    // A copy: what is left of a chunk must not keep the whole of it.
    this.#rest = at === bytes.length ? undefined : Buffer.from(bytes.subarray(at));
  }
}

/** @throws FrameFault */
export function readWord(bytes: Buffer, start: number, end: number): { readonly kind: string } {
  try {
    const word: unknown = JSON.parse(bytes.toString('utf8', start, end));
    if (typeof word === 'object' && word !== null && 'kind' in word && typeof word.kind === 'string') {
      return word as { readonly kind: string };
    }
  } catch {
    // Told below.
  }
  throw new FrameFault('a word that cannot be read');
}

/** Where the parts of a message lie. */
export interface MessageParts {
  readonly session: number;
  readonly slot: number;
  /** Undefined = the head is that of the slot. */
  readonly headAt: number | undefined;
  readonly bodyAt: number;
  readonly end: number;
}

/** The parts of a `message`. @throws FrameFault */
export function messageAt(bytes: Buffer, start: number, end: number): MessageParts {
  const headAt = start + 7;
  if (headAt > end) throw new FrameFault('a message without a head');
  const bodyAt = headAt + bytes.readUInt16LE(start + 5);
  if (bodyAt > end) throw new FrameFault('a message whose head is longer than itself');
  return { session: bytes.readUInt32LE(start), slot: bytes[start + 4], headAt, bodyAt, end };
}

/** The parts of an `again`. @throws FrameFault */
export function againAt(bytes: Buffer, start: number, end: number): MessageParts {
  const bodyAt = start + 5;
  if (bodyAt > end) throw new FrameFault('a message without a head');
  return { session: bytes.readUInt32LE(start), slot: bytes[start + 4], headAt: undefined, bodyAt, end };
}

/** @throws FrameFault */
export function commandAt(
  bytes: Buffer,
  start: number,
  end: number,
): { readonly head: unknown; readonly body: Buffer } {
  const headAt = start + 4;
  const bodyAt = headAt > end ? end + 1 : headAt + bytes.readUInt32LE(start);
  if (bodyAt > end) throw new FrameFault('a command whose head is longer than itself');
  return { head: JSON.parse(bytes.toString('utf8', headAt, bodyAt)), body: Buffer.from(bytes.subarray(bodyAt, end)) };
}
