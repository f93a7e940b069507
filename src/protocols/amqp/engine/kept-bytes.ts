import { limits } from '../../../base/limits.ts';

/**
 * What unproved AMQP connections of one thread make the hub keep, all together. Where it is too much, the one that holds most
 * ends: who has just come, and has said little, is never that one.
 */
export class UnprovedBytes {
  readonly #bytesMax: number;
  readonly #holders = new Set<KeptBytes>();
  #bytes = 0;

  constructor(bytesMax: number = limits.amqpUnprovedKeptBytesMaxInAll) {
    this.#bytesMax = bytesMax;
  }

  get bytes(): number {
    return this.#bytes;
  }

  enter(holder: KeptBytes): void {
    this.#holders.add(holder);
  }

  leave(holder: KeptBytes): void {
    if (this.#holders.delete(holder)) this.#bytes -= holder.bytes;
  }

  /** `holder` has `bytes` more, or less. */
  change(holder: KeptBytes, bytes: number): void {
    if (!this.#holders.has(holder)) return;
    this.#bytes += bytes;
    if (this.#bytes > this.#bytesMax) this.#endLargest();
  }

  #endLargest(): void {
    let largest: KeptBytes | undefined;
    for (const holder of this.#holders) if (holder.bytes > (largest?.bytes ?? 0)) largest = holder;
    if (largest === undefined) return;
    this.leave(largest);
    largest.end();
  }
}

/**
 * What one AMQP connection makes the hub keep for as long as it lives: sessions, links with what their attaches say, refused
 * handles. Counted as bytes of memory, about, and bounded: little until a client has proved who it is.
 */
export class KeptBytes {
  readonly #unproved: UnprovedBytes;
  readonly #end: () => void;
  #bytes = 0;
  #bytesMax: number = limits.amqpUnprovedKeptBytesMax;

  /** @param end ends the connection: unproved ones hold too much together, and this one holds most */
  constructor(unproved: UnprovedBytes, end: () => void) {
    this.#unproved = unproved;
    this.#end = end;
    unproved.enter(this);
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Counts `bytes` more, unless they are too many. */
  take(bytes: number): boolean {
    if (this.#bytes + bytes > this.#bytesMax) return false;
    this.#bytes += bytes;
    this.#unproved.change(this, bytes);
    return true;
  }

  give(bytes: number): void {
    this.#bytes -= bytes;
    this.#unproved.change(this, -bytes);
  }

  /** A client has proved who it is. */
  prove(): void {
    this.#unproved.leave(this);
    this.#bytesMax = limits.amqpKeptBytesMax;
  }

  /** The connection is gone. */
  leave(): void {
    this.#unproved.leave(this);
  }

  end(): void {
    this.#end();
  }
}
