/** Acknowledgements that wait for the hub. They leave in the order in which their messages came [MQTT-4.6.0-2]. */
import type { Outcome } from './dialogue.ts';

interface Slot {
  readonly kind: 'puback' | 'pubrec';
  readonly packetId: number;
  readonly bytes: number;
  outcome: Outcome | undefined;
}

export class Acknowledgements {
  readonly #slots: Slot[] = [];
  #first = 0;
  #bytes = 0;

  /** Messages that wait, QoS 0 not counted. */
  get waiting(): number {
    return this.#slots.length - this.#first;
  }

  get bytes(): number {
    return this.#bytes;
  }

  add(kind: Slot['kind'], packetId: number, bytes: number): Slot {
    const slot: Slot = { kind, packetId, bytes, outcome: undefined };
    this.#slots.push(slot);
    this.#bytes += bytes;
    return slot;
  }

  /** Those that may leave now, in their order. */
  take(write: (kind: Slot['kind'], packetId: number, outcome: Outcome) => void): void {
    while (this.#first < this.#slots.length) {
      const { kind, packetId, bytes, outcome } = this.#slots[this.#first];
      if (outcome === undefined) break;
      this.#first++;
      this.#bytes -= bytes;
      write(kind, packetId, outcome);
    }
    // The list is cut when half of it is past.
    if (this.#first > 64 && this.#first * 2 > this.#slots.length) {
      this.#slots.splice(0, this.#first);
      this.#first = 0;
    }
  }
}

export type { Slot };
