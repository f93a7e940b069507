/**
 * Finds whole packets in a stream of bytes. A packet's length is known, and bounded by the caller, before any of it is
 * kept; an unfinished packet is kept in a buffer that doubles as its bytes come, so that neither a false length nor one
 * byte at a time costs memory or time. Whole packets in a chunk are not copied.
 *
 *     reader.push(chunk);
 *     while (reader.next(bytesMax)) use(reader.bytes, reader.start, reader.body, reader.end);
 *     reader.settle();
 */
import { MalformedPacket } from './packets.ts';

const EMPTY = Buffer.alloc(0);
const OWNED_BYTES_MIN = 64;

export class PacketReader {
  /** The packet that `next` found: its first byte at `start`, what follows the fixed header from `body` to `end`. */
  bytes: Buffer = EMPTY;
  start = 0;
  body = 0;
  end = 0;
  /** How much of `bytes` is filled. */
  #filled = 0;
  /** Whether `bytes` is a buffer of ours and not somebody else's chunk. */
  #owned = false;
  /** The chunk behind an unfinished packet, and how much of it has been copied to that. */
  #later: Buffer = EMPTY;
  #laterAt = 0;

  /** Bytes that wait: an unfinished packet, or packets that nobody asked for yet. */
  get waiting(): number {
    return this.#filled - this.end + this.#later.length - this.#laterAt;
  }

  /** The first byte of the next packet, or undefined while there is none: lets the caller refuse it before its end. */
  get firstByte(): number | undefined {
    return this.end < this.#filled ? this.bytes[this.end] : this.#later[this.#laterAt];
  }

  /** Adds bytes behind those that wait. The chunk must not change until `settle`. */
  push(chunk: Buffer): void {
    if (this.waiting === 0) {
      this.#become(chunk, 0);
      return;
    }
    this.settle();
    this.#later = chunk;
    this.#laterAt = 0;
  }

  /**
   * Moves on to the next packet. False when its end has not come yet.
   * @throws MalformedPacket when its length is over `bytesMax` (of the whole packet) or not a length at all.
   */
  next(bytesMax: number): boolean {
    const start = this.end;
    const filled = this.#filled;
    if (filled - start < 2) return this.#fetch(1) && this.next(bytesMax);
    let at = start + 1;
    let byte = this.bytes[at++];
    let length = byte & 0x7f;
    // Section 2.2.3: at most four bytes of seven bits, the least significant first.
    for (let shift = 7; byte >= 0x80; shift += 7) {
      if (shift > 21) throw new MalformedPacket('the remaining length has more than four bytes (2.2.3)');
      if (at === filled) return this.#fetch(1) && this.next(bytesMax);
      byte = this.bytes[at++];
      length |= (byte & 0x7f) << shift;
    }
    if (at - start + length > bytesMax) {
      throw new MalformedPacket(`a packet of ${at - start + length} bytes, where at most ${bytesMax} are allowed`);
    }
    if (at + length > filled) return this.#fetch(at + length - filled) && this.next(bytesMax);
    this.start = start;
    this.body = at;
    this.end = at + length;
    return true;
  }

  /** Lets go of the chunk: what waits is copied, so that a few bytes do not hold a large buffer. */
  settle(): void {
    if (this.waiting === 0) {
      this.#become(EMPTY, 0);
      return;
    }
    this.#own(this.#later.length - this.#laterAt);
    this.#copyLater(this.#later.length);
  }

  /** Takes so many bytes of the later chunk, or all of it; false = there is none. */
  #fetch(bytes: number): boolean {
    const left = this.#later.length - this.#laterAt;
    if (left === 0) return false;
    if (this.end === this.#filled) {
      this.#become(this.#later, this.#laterAt);
      return true;
    }
    const count = Math.min(bytes, left);
    this.#own(count);
    this.#copyLater(this.#laterAt + count);
    return true;
  }

  /** Goes on in a chunk of somebody else's. */
  #become(chunk: Buffer, at: number): void {
    this.bytes = chunk;
    this.start = this.body = this.end = at;
    this.#filled = chunk.length;
    this.#owned = false;
    this.#later = EMPTY;
    this.#laterAt = 0;
  }

  #copyLater(until: number): void {
    this.#filled += this.#later.copy(this.bytes, this.#filled, this.#laterAt, until);
    this.#laterAt = until;
    if (until < this.#later.length) return;
    this.#later = EMPTY;
    this.#laterAt = 0;
  }

  /** Moves the unfinished packet to the front of a buffer of ours with room for `more` bytes. */
  #own(more: number): void {
    const held = this.#filled - this.end;
    const needed = held + more;
    if (!this.#owned || this.bytes.length < needed) {
      const larger = Buffer.allocUnsafeSlow(Math.max(OWNED_BYTES_MIN, this.#owned ? 2 * needed : needed));
      this.bytes.copy(larger, 0, this.end, this.#filled);
      this.bytes = larger;
    } else if (this.#filled + more > this.bytes.length) {
      this.bytes.copyWithin(0, this.end, this.#filled);
    } else {
      return;
    }
    this.#filled = held;
    this.start = this.body = this.end = 0;
    this.#owned = true;
  }
}
