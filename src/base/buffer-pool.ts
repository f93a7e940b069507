/** Sizes of one doubling: a piece is at most a quarter larger than what was asked for. */
const SIZES_PER_DOUBLING = 4;
/** Pieces that wait to be used again, where no other number is asked for. */
const PIECES_MAX = 64;

export interface BufferPoolOptions {
  /** Smaller buffers are left to the garbage collector: they are cheap, and too many to keep. */
  readonly bytesMin: number;
  readonly bytesMax: number;
  /** Bytes of pieces that wait to be used again. */
  readonly freeBytesMax: number;
  /** How many of them: they are looked through, from the newest on, until one has just the size. Absent = 64. */
  readonly piecesMax?: number;
  /** Makes memory of its own for a buffer; absent = of this thread, small buffers sharing the runtime's own pool. */
  readonly allocate?: (bytes: number) => ArrayBufferLike;
}

/**
 * Memory that is used again. The runtime counts memory outside of its heap, and marks the whole heap whenever some tens of
 * megabytes of it have been made: code that makes a large buffer for every read and write pays two fifths of its CPU time for
 * that (measured with `perf`: readers of events of 256 bytes).
 */
export class BufferPool {
  readonly #options: BufferPoolOptions;
  /** Oldest first. */
  #free: ArrayBufferLike[] = [];
  #freeBytes = 0;
  /** Pieces that are lent: a small buffer shares its memory with others, and is none. */
  readonly #lent = new WeakSet<ArrayBufferLike>();

  constructor(options: BufferPoolOptions) {
    this.#options = options;
  }

  /** Bytes that wait to be used again. */
  get freeBytes(): number {
    return this.#freeBytes;
  }

  /** Whether a buffer of so many bytes is a piece of the pool. */
  isPooled(bytes: number): boolean {
    return bytes >= this.#options.bytesMin && bytes <= this.#options.bytesMax;
  }

  /** A buffer of exactly `bytes`; what is in it is left over from before. */
  take(bytes: number): Buffer {
    const { allocate } = this.#options;
    if (!this.isPooled(bytes)) return allocate === undefined ? Buffer.allocUnsafe(bytes) : Buffer.from(allocate(bytes));
    const at = this.#bestFit(bytes);
    let piece = this.#free[at];
    if (piece === undefined) piece = (allocate ?? ownMemory)(pieceBytes(bytes));
    else {
      this.#free.splice(at, 1);
      this.#freeBytes -= piece.byteLength;
    }
    this.#lent.add(piece);
    return Buffer.from(piece, 0, bytes);
  }

  /** Takes back what `take` has given: nobody may look at it any more. */
  giveBack(buffer: Buffer): void {
    const piece = buffer.buffer;
    if (!this.#lent.delete(piece)) return;
    this.#free.push(piece);
    this.#freeBytes += piece.byteLength;
    // What has waited longest has a size that is asked for least.
    const { freeBytesMax, piecesMax = PIECES_MAX } = this.#options;
    while (this.#freeBytes > freeBytesMax || this.#free.length > piecesMax) {
      this.#freeBytes -= (this.#free.shift() as ArrayBufferLike).byteLength;
    }
  }

  /**
   * The place of the smallest piece that is large enough and not twice too large; -1 = none. Of several the one that came
   * back last: the processor may still have it at hand.
   */
  #bestFit(bytes: number): number {
    const exact = pieceBytes(bytes);
    let best = -1;
    for (let at = this.#free.length - 1; at >= 0; at--) {
      const size = this.#free[at].byteLength;
      if (size === exact) return at;
      if (size < bytes || size > 2 * bytes) continue;
      if (best === -1 || size < this.#free[best].byteLength) best = at;
    }
    return best;
  }
}

/** The size of the piece in which `bytes` fit: a power of two, or one of three steps between two of them. */
export function pieceBytes(bytes: number): number {
  const step = Math.max(1, 2 ** (31 - Math.clz32(bytes - 1)) / SIZES_PER_DOUBLING);
  return Math.ceil(bytes / step) * step;
}

/** Memory that no other buffer shares. */
export function ownMemory(bytes: number): ArrayBuffer {
  return Buffer.allocUnsafeSlow(bytes).buffer;
}
