import { assert } from './assert.ts';
import { BufferPool, type BufferPoolOptions } from './buffer-pool.ts';

/**
 * Buffers that several hold: used again when all who hold one have let go of it.
 *
 * Who holds memory and never lets go costs nothing but that: the garbage collector takes it when nobody can reach it any
 * more. Who lets go and looks again reads what is written there next, so every holder lets go exactly once.
 */
export class HeldBuffers {
  readonly #pool: BufferPool;
  /** How many hold a piece of the pool. */
  readonly #holders = new WeakMap<ArrayBufferLike, number>();

  constructor(options: BufferPoolOptions) {
    this.#pool = new BufferPool(options);
  }

  /** Bytes that wait to be used again. */
  get freeBytes(): number {
    return this.#pool.freeBytes;
  }

  /** A buffer of exactly `bytes`, held by the caller; what is in it is left over from before. */
  take(bytes: number): Buffer {
    const buffer = this.#pool.take(bytes);
    if (this.#pool.isPooled(bytes)) this.#holders.set(buffer.buffer, 1);
    return buffer;
  }

  /** One more holds the memory of `buffer`. */
  hold(buffer: Buffer): void {
    const holders = this.#holders.get(buffer.buffer);
    if (holders === undefined) return;
    assert(holders > 0, 'memory that is held again is held already');
    this.#holders.set(buffer.buffer, holders + 1);
  }

  /** One of those who hold the memory of `buffer` looks at it no more. */
  letGo(buffer: Buffer): void {
    const holders = this.#holders.get(buffer.buffer);
    if (holders === undefined) return;
    assert(holders > 0, 'nobody lets go of memory twice');
    this.#holders.set(buffer.buffer, holders - 1);
    if (holders === 1) this.#pool.giveBack(buffer);
  }
}
