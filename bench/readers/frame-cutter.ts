const PREFIX_BYTES = 8;

/**
 * Finds the frames in what a socket brings. A frame that comes in two reads is put together in memory of its own; all others
 * are looked at where they are, so a read may go into the same buffer every time.
 */
export class FrameCutter {
  readonly #take: (bytes: Buffer, at: number, end: number) => void;
  /** The frame that has begun. */
  #begun = Buffer.alloc(64 * 1024);
  #length = 0;

  /** @param take gets each frame, and each protocol header, as its place in `bytes`; they are the cutter's again behind the call */
  constructor(take: (bytes: Buffer, at: number, end: number) => void) {
    this.#take = take;
  }

  /** Takes the first `length` bytes of `chunk`. */
  push(chunk: Buffer, length: number): void {
    let at = this.#length > 0 ? this.#goOn(chunk, length) : 0;
    while (at + PREFIX_BYTES <= length) {
      const end = at + sizeAt(chunk, at);
      if (end > length) break;
      this.#take(chunk, at, end);
      at = end;
    }
    if (at < length) this.#add(chunk, at, length);
  }

  /** Completes the frame that has begun. Returns the place behind it, or `length` if it goes on. */
  #goOn(chunk: Buffer, length: number): number {
    let at = 0;
    for (;;) {
      const size = this.#length < PREFIX_BYTES ? PREFIX_BYTES : sizeAt(this.#begun, 0);
      if (this.#length >= PREFIX_BYTES && this.#length === size) break;
      if (at === length) return at;
      const end = Math.min(length, at + size - this.#length);
      this.#add(chunk, at, end);
      at = end;
    }
    this.#take(this.#begun, 0, this.#length);
    this.#length = 0;
    return at;
  }

  #add(chunk: Buffer, start: number, end: number): void {
    const length = this.#length + end - start;
    if (length > this.#begun.length) {
      const larger = Buffer.alloc(2 * length);
      this.#begun.copy(larger, 0, 0, this.#length);
      this.#begun = larger;
    }
    chunk.copy(this.#begun, this.#length, start, end);
    this.#length = length;
  }
}

/** A protocol header has the eight bytes "AMQP" and four numbers; a frame cannot be that long. */
function sizeAt(bytes: Buffer, at: number): number {
  const size = bytes.readUInt32BE(at);
  return size === 0x414d5150 ? PREFIX_BYTES : Math.max(size, PREFIX_BYTES);
}
