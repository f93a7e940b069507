import { behindFrames, readdressTransfers } from '../../../wire/amqp/transfer.ts';
import type { OutgoingLink } from '../engine/outgoing-link.ts';
import { DELIVERY_BUFFER_BYTES, deliveryBuffers } from './delivery-buffers.ts';
import type { PartitionPieces, Piece } from './delivery-pieces.ts';

const nothing = Buffer.alloc(0);

interface Written {
  readonly frames: Buffer;
  /** What others may be given of it, when the socket has taken it. */
  readonly lent: Piece | undefined;
}

/**
 * Transfer frames on their way from one reader's delivery to its socket: many per write, in buffers that are used again
 * when the socket has taken their bytes, and shared with other readers at the same place.
 */
export class DeliveryFrames {
  readonly #link: OutgoingLink;
  readonly #pieces: PartitionPieces;
  readonly #unsentBytes: () => number;
  /** The open buffer, and how much of it is laid out. */
  out: Buffer = nothing;
  #length = 0;
  /** Bytes of frames since `beginPiece`. */
  pieceBytes = 0;
  /** Written, and perhaps not yet taken by the socket. */
  #written: Written[] = [];
  /** What the open buffer holds for others: whole events that follow each other. */
  #firstSequence = 0;
  #count = 0;
  #frameBytesMax = 0;
  #isForOthers = true;

  /** @param unsentBytes bytes that the socket has not taken yet */
  constructor(link: OutgoingLink, pieces: PartitionPieces, unsentBytes: () => number) {
    this.#link = link;
    this.#pieces = pieces;
    this.#unsentBytes = unsentBytes;
  }

  /** Bytes that are laid out and not written. */
  get length(): number {
    return this.#length;
  }

  beginPiece(): void {
    this.pieceBytes = 0;
  }

  hasRoom(size: number): boolean {
    return this.#length + size <= this.out.length;
  }

  /** Writes what is laid out and opens another buffer: for `size` bytes at least, `wanted` if that is not too much. */
  open(size: number, wanted: number): void {
    this.flush();
    this.out = deliveryBuffers.take(Math.max(size, Math.min(wanted, DELIVERY_BUFFER_BYTES)));
  }

  /** Takes the next `size` bytes of the open buffer: their place in `out`. */
  take(size: number): number {
    const place = this.#length;
    this.#length += size;
    this.pieceBytes += size;
    return place;
  }

  /** The frame that was laid out last is all of the event `sequence`. */
  laidOut(sequence: number, size: number): void {
    if (this.#count === 0) this.#firstSequence = sequence;
    else if (sequence !== this.#firstSequence + this.#count) this.#isForOthers = false;
    this.#count++;
    if (size > this.#frameBytesMax) this.#frameBytesMax = size;
  }

  /** The frame that was laid out last is a part of an event, or this reader's alone. */
  laidOutForOne(): void {
    this.#isForOthers = false;
  }

  /**
   * Writes `count` events from `sequence` on as they were laid out for another reader: the same memory, if no socket holds it
   * any more, else a copy.
   */
  repeat(piece: Piece, sequence: number, count: number): void {
    this.flush();
    const { session, attach } = this.#link;
    const { firstSequence } = piece;
    const start = behindFrames(piece.frames, 0, sequence - firstSequence);
    const isToEnd = sequence + count === firstSequence + piece.count;
    const end = isToEnd ? piece.frames.length : behindFrames(piece.frames, start, count);
    const isCopy = piece.isLent;
    let frames = piece.frames.subarray(start, end);
    if (isCopy) {
      frames = deliveryBuffers.take(end - start);
      piece.frames.copy(frames, 0, start, end);
    } else {
      deliveryBuffers.hold(frames);
      piece.isLent = true;
    }
    readdressTransfers(frames, count, session.channel, attach.handle, session.beginDeliveries(this.#link, count));
    session.countTransfers(count);
    this.pieceBytes += frames.length;
    this.#write(frames, isCopy ? undefined : piece);
  }

  /** Gives what is laid out to the socket. */
  flush(): void {
    const { out } = this;
    const length = this.#length;
    const count = this.#isForOthers ? this.#count : 0;
    this.out = nothing;
    this.#length = 0;
    this.#count = 0;
    this.#isForOthers = true;
    if (length === 0) return;
    const frames = out.subarray(0, length);
    const firstSequence = this.#firstSequence;
    const frameBytesMax = this.#frameBytesMax;
    this.#frameBytesMax = 0;
    const isForOthers = count > 0 && this.#pieces.isShared;
    const piece = isForOthers ? { firstSequence, count, frames, frameBytesMax, isLent: true } : undefined;
    this.#write(frames, piece);
    if (piece !== undefined) this.#pieces.keep(piece);
  }

  /** Writes `frames`, which the caller holds, and which are held until the socket has taken them. */
  #write(frames: Buffer, lent: Piece | undefined): void {
    this.#link.session.write(frames);
    this.#written.push({ frames, lent });
  }

  /** What was written is with the socket: if that has nothing unsent, it holds no bytes of it. */
  written(): void {
    if (this.#written.length === 0 || this.#unsentBytes() > 0) return;
    for (const { frames, lent } of this.#written) {
      if (lent !== undefined) lent.isLent = false;
      deliveryBuffers.letGo(frames);
    }
    this.#written = [];
  }

  /** Forgets everything. What was written is left to the garbage collector: the socket may still have it. */
  drop(): void {
    this.#written = [];
    this.out = nothing;
    this.#length = 0;
  }
}
