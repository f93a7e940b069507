import type { HeldBuffers } from '../../../base/held-buffers.ts';
import { limits } from '../../../base/limits.ts';
import { deliveryBuffers } from './delivery-buffers.ts';

/** Frames as one reader was given them: `count` events of one partition that follow each other, a frame each. */
export interface Piece {
  readonly firstSequence: number;
  readonly count: number;
  /** The frames, next to each other, and nothing else. */
  readonly frames: Buffer;
  /** A socket has not taken the frames yet, or had not when last looked at: they must not change. */
  isLent: boolean;
  /** Bytes of the largest frame. */
  readonly frameBytesMax: number;
}

/** A reader that waits for another one. */
interface Waiting {
  pump(): void;
  /** The log cannot be read from `sequence` on. */
  cannotRead(sequence: number, error: unknown): void;
}

/** Pieces in all: they are looked through. */
const PIECES_MAX = 256;

interface Kept {
  readonly place: PartitionPieces;
  readonly piece: Piece;
}

/**
 * What was laid out for one reader, for others at the same place. Consumer groups that follow the end of a partition get
 * the same events one after the other, and their frames differ in channel, handle and delivery id only: changing those is a
 * small part of the work of laying frames out from the log (`docs/decisions/0011-frames-laid-out-once.md`).
 *
 * Keeps the newest pieces of partitions with two readers or more, up to a number of bytes in all.
 */
export class DeliveryPieces {
  readonly #buffers: HeldBuffers;
  readonly #bytesMax: number;
  readonly #logs = new WeakMap<object, PartitionPieces[]>();
  /** Oldest first. */
  readonly #kept: Kept[] = [];
  #bytes = 0;

  /** @param buffers what the frames lie in */
  constructor(buffers: HeldBuffers, bytesMax: number) {
    this.#buffers = buffers;
    this.#bytesMax = bytesMax;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** The place where the readers of one partition meet. @param log by its identity */
  of(log: object, partition: number): PartitionPieces {
    const places = this.#logs.get(log) ?? [];
    this.#logs.set(log, places);
    places[partition] ??= new PartitionPieces((place, piece) => this.#keep({ place, piece }));
    return places[partition];
  }

  #keep(kept: Kept): void {
    this.#buffers.hold(kept.piece.frames);
    this.#kept.push(kept);
    this.#bytes += kept.piece.frames.buffer.byteLength;
    while (this.#bytes > this.#bytesMax || this.#kept.length > PIECES_MAX) {
      const { place, piece } = this.#kept.shift() as Kept;
      place.forgetOldest();
      this.#bytes -= piece.frames.buffer.byteLength;
      this.#buffers.letGo(piece.frames);
    }
  }
}

/** The readers of one partition, and what was laid out for one of them lately. */
export class PartitionPieces {
  readonly #kept: (place: PartitionPieces, piece: Piece) => void;
  /** Oldest first. */
  readonly #pieces: Piece[] = [];
  #readers = 0;
  /** Who reads the log now, and from where; the others who are there wait for what it lays out. */
  #leader: { readonly reader: Waiting; readonly sequence: number } | undefined;
  #waiting = new Set<Waiting>();

  constructor(kept: (place: PartitionPieces, piece: Piece) => void) {
    this.#kept = kept;
  }

  /** Another reader may want what one reader was given. */
  get isShared(): boolean {
    return this.#readers > 1;
  }

  enter(): void {
    this.#readers++;
  }

  leave(): void {
    this.#readers--;
  }

  /** Keeps frames that were just written. */
  keep(piece: Piece): void {
    if (!this.isShared) return;
    this.#pieces.push(piece);
    this.#kept(this, piece);
  }

  /** The newest piece that holds the event `sequence`. */
  find(sequence: number): Piece | undefined {
    return this.#pieces.findLast(
      (piece) => piece.firstSequence <= sequence && sequence < piece.firstSequence + piece.count,
    );
  }

  forgetOldest(): void {
    this.#pieces.shift();
  }

  /**
   * Asks whether `reader` is to read the log from `sequence` on. True: it is, and tells of the end by `laidOut`. False:
   * another one at the same place does, and `reader` is woken after that.
   */
  mayRead(reader: Waiting, sequence: number): boolean {
    if (this.#leader === undefined) this.#leader = { reader, sequence };
    else if (this.#leader.sequence === sequence && this.#leader.reader !== reader) {
      this.#waiting.add(reader);
      return false;
    }
    return true;
  }

  /** What `reader` has read is laid out, or will not be: wakes those who waited for it. */
  laidOut(reader: Waiting): void {
    if (this.#leader?.reader !== reader) return;
    for (const each of this.#endLead()) each.pump();
  }

  /** What `reader` was to read cannot be read: who waited for it is told so. One after the other they would wait as long again. */
  cannotRead(reader: Waiting, error: unknown): void {
    const leader = this.#leader;
    if (leader?.reader !== reader) return;
    for (const each of this.#endLead()) each.cannotRead(leader.sequence, error);
  }

  #endLead(): ReadonlySet<Waiting> {
    this.#leader = undefined;
    const waiting = this.#waiting;
    this.#waiting = new Set();
    return waiting;
  }
}

/** Of all readers of this thread. */
export const deliveryPieces = new DeliveryPieces(deliveryBuffers, limits.deliveryPiecesBytesMax);
