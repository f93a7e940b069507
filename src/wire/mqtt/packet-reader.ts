/**
 * Finds whole packets in a stream of bytes. A packet's length is known, and bounded by the caller, before any of it is
 * kept. Packets that lie whole in a chunk are not copied; of a packet that does not, its bytes alone are, into a buffer
 * that doubles as they come, so that neither a false length nor one byte at a time costs memory or time.
 *
 *     reader.push(chunk);
 *     while (reader.next(bytesMax)) use(reader.bytes, reader.start, reader.body, reader.end);
 *     reader.settle();
 */
import { BufferPool } from '../../base/buffer-pool.ts';
import { limits } from '../../base/limits.ts';
import { MalformedPacket, topicForRefusal } from './packets.ts';

const EMPTY = Buffer.alloc(0);
const KEPT_BYTES_MIN = 64;

/** Shared by all readers of a thread: one for each unfinished packet would have the heap marked every hundred milliseconds. */
const pool = new BufferPool({
  bytesMin: limits.mqttKeptBufferBytesMin,
  bytesMax: 2 * limits.mqttPacketBytesMax,
  freeBytesMax: limits.mqttKeptBuffersFreeBytesMax,
  piecesMax: limits.mqttKeptBuffersFreeMax,
});

export class PacketReader {
  /** The packet that `next` found: its first byte at `start`, what follows the fixed header from `body` to `end`. */
  bytes: Buffer = EMPTY;
  start = 0;
  body = 0;
  end = 0;
  /** The caller's bytes, and from where on nobody has asked for them. */
  #chunk: Buffer = EMPTY;
  #at = 0;
  /** What waits before the chunk, in a buffer of ours: whole packets that nobody asked for, then an unfinished one. */
  #kept: Buffer = EMPTY;
  #keptAt = 0;
  #keptEnd = 0;

  /** Bytes that wait: an unfinished packet, or packets that nobody asked for yet. */
  get waiting(): number {
    return this.#keptEnd - this.#keptAt + this.#chunk.length - this.#at;
  }

  /** Bytes of the buffer in which they wait. */
  get capacity(): number {
    return this.#kept.length;
  }

  /** The first byte of the next packet, or undefined while there is none: lets the caller refuse it before its end. */
  get firstByte(): number | undefined {
    if (this.#keptAt < this.#keptEnd) return this.#kept[this.#keptAt];
    return this.#at < this.#chunk.length ? this.#chunk[this.#at] : undefined;
  }

  /** Adds bytes behind those that wait. The chunk must not change until `settle`. */
  push(chunk: Buffer): void {
    this.#keepRest();
    this.#chunk = chunk;
    this.#at = 0;
  }

  /**
   * Moves on to the next packet. False when its end has not come yet.
   * @throws MalformedPacket when its length is over `bytesMax` (of the whole packet) or not a length at all.
   */
  next(bytesMax: number): boolean {
    if (this.#keptAt < this.#keptEnd) return this.#nextKept(bytesMax);
    const start = this.#at;
    const length = this.#measure(this.#chunk, start, this.#chunk.length, bytesMax);
    if (length === 0 || start + length > this.#chunk.length) return false;
    this.bytes = this.#chunk;
    this.start = start;
    this.end = this.#at = start + length;
    return true;
  }

  /** Lets go of the chunk: what waits is copied, so that a few bytes do not hold a large buffer. */
  settle(): void {
    this.#keepRest();
    this.#chunk = this.bytes = EMPTY;
    this.#at = 0;
    if (this.#keptAt < this.#keptEnd || this.#kept.length === 0) return;
    giveBack(this.#kept);
    this.#kept = EMPTY;
    this.#keptAt = this.#keptEnd = 0;
  }

  /** The next packet begins in the kept bytes: what it lacks is taken from the chunk, and no more. */
  #nextKept(bytesMax: number): boolean {
    for (;;) {
      const start = this.#keptAt;
      const has = this.#keptEnd - start;
      const length = this.#measure(this.#kept, start, this.#keptEnd, bytesMax);
      if (length !== 0 && length <= has) {
        this.bytes = this.#kept;
        this.start = start;
        this.end = this.#keptAt = start + length;
        return true;
      }
      // Of a fixed header it is not known before its end how long it is: at most five bytes.
      const lacks = length === 0 ? 1 : length - has;
      const come = Math.min(lacks, this.#chunk.length - this.#at);
      if (come > 0) this.#keep(come, length);
      if (come < lacks) return false;
    }
  }

  /** Bytes of the packet at `start`, and sets `body`; 0 = its fixed header has not ended. @throws MalformedPacket as `next` */
  #measure(bytes: Buffer, start: number, filled: number, bytesMax: number): number {
    if (filled - start < 2) return 0;
    let at = start + 1;
    let byte = bytes[at++];
    let length = byte & 0x7f;
    // Section 2.2.3: at most four bytes of seven bits, the least significant first.
    for (let shift = 7; byte >= 0x80; shift += 7) {
      if (shift > 21) throw new MalformedPacket('the remaining length has more than four bytes (2.2.3)');
      if (at === filled) return 0;
      byte = bytes[at++];
      length |= (byte & 0x7f) << shift;
    }
    length += at - start;
    if (length > bytesMax) {
      const topic = topicForRefusal(bytes, start, at, filled);
      throw new MalformedPacket(`a packet of ${length} bytes, where at most ${bytesMax} are allowed`, topic);
    }
    this.body = at;
    return length;
  }

  #keepRest(): void {
    const rest = this.#chunk.length - this.#at;
    if (rest > 0) this.#keep(rest, this.#keptAt < this.#keptEnd ? Number.POSITIVE_INFINITY : 0);
  }

  /** Moves the next `count` bytes of the chunk behind the kept ones. @param usefulMax no larger buffer is made to grow into */
  #keep(count: number, usefulMax: number): void {
    const has = this.#keptEnd - this.#keptAt;
    const needed = has + count;
    if (this.#keptEnd + count > this.#kept.length) {
      const old = this.#kept;
      if (needed > old.length) this.#kept = take(Math.max(KEPT_BYTES_MIN, needed, Math.min(usefulMax, 2 * needed)));
      old.copy(this.#kept, 0, this.#keptAt, this.#keptEnd);
      if (this.#kept !== old) giveBack(old);
      this.#keptAt = 0;
      this.#keptEnd = has;
    }
    this.#chunk.copy(this.#kept, this.#keptEnd, this.#at, this.#at + count);
    this.#keptEnd += count;
    this.#at += count;
  }
}

/** A small buffer has memory of its own too: one that waits for long must not hold the memory of others. */
function take(bytes: number): Buffer {
  return pool.isPooled(bytes) ? pool.take(bytes) : Buffer.allocUnsafeSlow(bytes);
}

/** What a peer has sent, a token for one, must not stay until others happen to write over it. */
function giveBack(buffer: Buffer): void {
  if (!pool.isPooled(buffer.length)) return;
  buffer.fill(0);
  pool.giveBack(buffer);
}
