import { dispositionFrame, type Outcome, type PeerOutcome, readOutcome } from '../../wire/amqp/performatives.ts';
import type { AmqpValue } from '../../wire/amqp/values.ts';
import type { OutgoingLink } from './outgoing-link.ts';

/** A delivery that the peer has not settled yet. */
export interface OutgoingDelivery {
  readonly link: OutgoingLink;
  /**
   * The peer has decided. The answer is what the peer is told when it waits for the hub's word (`rcv-settle-mode`
   * second). Never rejects.
   */
  settle(outcome: PeerOutcome): Promise<Outcome>;
}

/** What a peer that waits for an answer hears of a delivery that the hub does not hold any more. */
const lockLost: Outcome = {
  kind: 'rejected',
  error: { condition: 'com.microsoft:message-lock-lost', description: 'The lock on the message is gone.' },
};

/**
 * Deliveries of one session that wait for the peer's word. Whoever sends bounds their number, and takes out what is no
 * longer worth waiting for.
 */
export class Unsettled {
  readonly #write: (frame: Buffer) => void;
  readonly #channel: number;
  /** By delivery id. */
  readonly #deliveries = new Map<number, OutgoingDelivery>();

  constructor(channel: number, write: (frame: Buffer) => void) {
    this.#channel = channel;
    this.#write = write;
  }

  add(deliveryId: number, delivery: OutgoingDelivery): void {
    this.#deliveries.set(deliveryId, delivery);
  }

  forget(deliveryId: number): void {
    this.#deliveries.delete(deliveryId);
  }

  forgetLink(link: object): void {
    for (const [id, delivery] of this.#deliveries) if (delivery.link === link) this.#deliveries.delete(id);
  }

  clear(): void {
    this.#deliveries.clear();
  }

  /** The peer says what became of deliveries (part 2 section 2.7.6). */
  disposition(range: { readonly first: number; readonly last: number }, isSettled: boolean, state: AmqpValue): void {
    const outcome = readOutcome(state);
    const found = this.#within(range);
    if (found.length === 0 && !isSettled && outcome !== undefined) this.#answer(range, lockLost);
    for (const [id, delivery] of found) {
      // Without an outcome nothing is decided: what holds the message for the peer runs out.
      if (outcome === undefined && !isSettled) continue;
      this.#deliveries.delete(id);
      if (outcome === undefined) continue;
      delivery.settle(outcome).then((answer) => {
        if (!isSettled && delivery.link.isOpen) this.#answer({ first: id, last: id }, answer);
      });
    }
  }

  #answer(range: { readonly first: number; readonly last: number }, state: Outcome): void {
    this.#write(dispositionFrame(this.#channel, { role: false, ...range, state }));
  }

  /** What lies between two ids, on both sides of the counter's end too. */
  #within({ first, last }: { readonly first: number; readonly last: number }): (readonly [number, OutgoingDelivery])[] {
    if (first === last) {
      const delivery = this.#deliveries.get(first);
      return delivery === undefined ? [] : [[first, delivery]];
    }
    const span = (last - first) >>> 0;
    return [...this.#deliveries].filter(([id]) => (id - first) >>> 0 <= span);
  }
}
