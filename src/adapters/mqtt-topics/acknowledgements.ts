/** Acknowledgements that wait for the hub. They leave in the order in which their messages came [MQTT-4.6.0-2]. */
import { PUBACK_BYTES, writePuback } from '../../wire/mqtt/encode.ts';
import { type Dialogue, type Outcome, outcomes } from './dialogue.ts';

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

  /** Those that may leave now, in their order; undefined = none. */
  take(dialogue: Dialogue): Buffer | undefined {
    const slots = this.#slots;
    let end = this.#first;
    let isPlain = true;
    for (; end < slots.length && slots[end].outcome !== undefined; end++) {
      isPlain &&= slots[end].kind === 'puback' && slots[end].outcome === outcomes.success;
    }
    const ready = slots.slice(this.#first, end);
    if (ready.length === 0) return undefined;
    this.#first = end;
    for (const { bytes } of ready) this.#bytes -= bytes;
    this.#cut();
    if (!isPlain) {
      return Buffer.concat(
        ready.map(({ kind, packetId, outcome = 0 }) => dialogue.acknowledgement(kind, packetId, outcome)),
      );
    }
    // Both versions write it the same way.
    const target = Buffer.allocUnsafe(ready.length * PUBACK_BYTES);
    let at = 0;
    for (const { packetId } of ready) at = writePuback(target, at, packetId);
    return target;
  }

  #cut(): void {
    // The list is cut when half of it is past.
    if (this.#first > 64 && this.#first * 2 > this.#slots.length) {
      this.#slots.splice(0, this.#first);
      this.#first = 0;
    }
  }
}

export type { Slot };
