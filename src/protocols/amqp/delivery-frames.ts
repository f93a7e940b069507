import { behindFrames, readdressTransfers } from '../../wire/amqp/transfer.ts';
import { DELIVERY_BUFFER_BYTES, deliveryBuffers } from './delivery-buffers.ts';
import type { PartitionPieces, Piece } from './delivery-pieces.ts';
import type { OutgoingLink } from './outgoing-link.ts';

const nothing = Buffer.alloc(0);

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
  #written: Buffer[] = [];
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

  /** Writes `count` events from `sequence` on as they were laid out for another reader. */
  repeat(piece: Piece, sequence: number, count: number): void {
    const { session, attach } = this.#link;
    const { frames, firstSequence } = piece;
    const start = behindFrames(frames, 0, sequence - firstSequence);
    const isToEnd = sequence + count === firstSequence + piece.count;
    const end = isToEnd ? frames.length : behindFrames(frames, start, count);
    if (!this.hasRoom(end - start)) this.open(end - start, end - start);
    const place = this.take(end - start);
    frames.copy(this.out, place, start, end);
    readdressTransfers(
      this.out,
      place,
      count,
      session.channel,
      attach.handle,
      session.beginDeliveries(this.#link, count),
    );
    session.countTransfers(count);
    this.laidOutForOne();
  }

  /** Gives what is laid out to the socket. */
  flush(): void {
    const { out } = this;
    const length = this.#length;
    this.out = nothing;
    this.#length = 0;
    if (length > 0) {
      const frames = out.subarray(0, length);
      this.#link.session.write(frames);
      this.#written.push(out);
      if (this.#isForOthers && this.#count > 0 && this.#pieces.isShared) {
        const [firstSequence, count, frameBytesMax] = [this.#firstSequence, this.#count, this.#frameBytesMax];
        this.#pieces.keep({ firstSequence, count, frames, frameBytesMax });
      }
    }
    this.#count = 0;
    this.#frameBytesMax = 0;
    this.#isForOthers = true;
    // Whoever has nothing unsent holds no bytes of what was written.
    if (this.#written.length === 0 || this.#unsentBytes() > 0) return;
    for (const buffer of this.#written) deliveryBuffers.letGo(buffer);
    this.#written = [];
  }

  /** Forgets everything. What was written is left to the collector of garbage: the socket may still have it. */
  drop(): void {
    this.#written = [];
    this.out = nothing;
    this.#length = 0;
  }
}
