import { assert } from '../../base/assert.ts';
import { PUBACK_BYTES, writePuback } from '../../wire/mqtt/encode.ts';

const CAPACITY_MIN = 16;

/**
 * The QoS 1 messages of a connection whose PUBACK waits for the disk, oldest first. PUBACKs leave strictly in order of
 * arrival (device reference 2.2), so a message that itself waits for nothing waits behind those that do. A ring of
 * numbers: nothing is allocated per message.
 */
export class Acknowledgements {
  #packetIds = new Uint16Array(CAPACITY_MIN);
  #batches = new Float64Array(CAPACITY_MIN);
  #first = 0;
  #count = 0;
  /** The batch of the newest entry; batch numbers never go back. */
  #lastBatch = 0;

  get count(): number {
    return this.#count;
  }

  /** Remembers a message that is durable when batch number `batch` is. */
  add(packetId: number, batch: number): void {
    assert(this.#count === 0 || batch >= this.#lastBatch, 'batches become durable in order');
    if (this.#count === this.#packetIds.length) this.#grow();
    const at = (this.#first + this.#count) % this.#packetIds.length;
    this.#packetIds[at] = packetId;
    this.#batches[at] = batch;
    this.#count++;
    this.#lastBatch = batch;
  }

  /** Remembers a message that has nothing to wait for but the order. False = there is nothing before it. */
  addInOrder(packetId: number): boolean {
    if (this.#count === 0) return false;
    this.add(packetId, this.#lastBatch);
    return true;
  }

  /** Takes out every message of `batch` and earlier ones: their PUBACKs in one buffer, or undefined if there are none. */
  settle(batch: number): Buffer | undefined {
    const capacity = this.#packetIds.length;
    let settled = 0;
    while (settled < this.#count && this.#batches[(this.#first + settled) % capacity] <= batch) settled++;
    if (settled === 0) return undefined;
    const bytes = Buffer.allocUnsafe(settled * PUBACK_BYTES);
    let at = 0;
    for (let index = 0; index < settled; index++) {
      at = writePuback(bytes, at, this.#packetIds[(this.#first + index) % capacity]);
    }
    this.#first = (this.#first + settled) % capacity;
    this.#count -= settled;
    return bytes;
  }

  #grow(): void {
    const packetIds = new Uint16Array(2 * this.#count);
    const batches = new Float64Array(2 * this.#count);
    for (let index = 0; index < this.#count; index++) {
      const from = (this.#first + index) % this.#count;
      packetIds[index] = this.#packetIds[from];
      batches[index] = this.#batches[from];
    }
    this.#packetIds = packetIds;
    this.#batches = batches;
    this.#first = 0;
  }
}
