import { dispositionFrame, type Outcome, readOutcome } from '../../../wire/amqp/performatives.ts';
import type { AmqpValue } from '../../../wire/amqp/values.ts';
import type { OutgoingDelivery } from './link-session.ts';

/** What a peer that waits for an answer hears of a delivery that the hub does not hold any more. */
const lockLost: Outcome = {
  kind: 'rejected',
  error: { condition: 'com.microsoft:message-lock-lost', description: 'The lock on the message is gone.' },
};

/** Stays empty. */
const none = new Map<number, OutgoingDelivery>();

/** How many deliveries of all sessions of a connection await the peer's disposition. */
export interface UnsettledPlaces {
  take(): boolean;
  leave(count: number): void;
  /** So many deliveries were looked through. */
  worked(deliveries: number): void;
}

/**
 * Deliveries of one session that await the peer's disposition. The sender removes what is no longer worth waiting for.
 */
export class Unsettled {
  readonly #write: (frame: Buffer) => void;
  readonly #channel: number;
  readonly #places: UnsettledPlaces;
  /** By delivery id; none is made for the many sessions on which nothing waits. */
  #deliveries = none;

  constructor(channel: number, write: (frame: Buffer) => void, places: UnsettledPlaces) {
    this.#channel = channel;
    this.#write = write;
    this.#places = places;
  }

  /** The connection has a place for one more, which `add` takes. */
  add(deliveryId: number, delivery: OutgoingDelivery): void {
    if (this.#deliveries === none) this.#deliveries = new Map();
    this.#deliveries.set(deliveryId, delivery);
  }

  forget(deliveryId: number): void {
    if (this.#deliveries.delete(deliveryId)) this.#places.leave(1);
  }

  forgetLink(link: object): void {
    this.#places.worked(this.#deliveries.size);
    for (const [id, delivery] of this.#deliveries) if (delivery.link === link) this.forget(id);
  }

  clear(): void {
    const { size } = this.#deliveries;
    this.#deliveries = none;
    if (size > 0) this.#places.leave(size);
  }

  /** The peer says what became of deliveries (part 2 section 2.7.6). */
  disposition(range: { readonly first: number; readonly last: number }, isSettled: boolean, state: AmqpValue): void {
    const outcome = readOutcome(state);
    // Without an outcome nothing is decided: what holds the message for the peer runs out.
    if (outcome === undefined && !isSettled) return;
    const found = this.#within(range);
    if (found.length === 0 && !isSettled && outcome !== undefined) this.#answer(range, lockLost);
    for (const [id, delivery] of found) {
      this.#deliveries.delete(id);
      if (outcome === undefined) continue;
      delivery.settle(outcome).then((answer) => {
        if (!isSettled && delivery.link.isOpen) this.#answer({ first: id, last: id }, answer);
      });
    }
    this.#places.leave(found.length);
  }

  #answer(range: { readonly first: number; readonly last: number }, state: Outcome): void {
    this.#write(dispositionFrame(this.#channel, { role: false, ...range, state }));
  }

  /** What lies between two ids, on both sides of the counter's end too: looks at the fewer of ids and deliveries. */
  #within({ first, last }: { readonly first: number; readonly last: number }): (readonly [number, OutgoingDelivery])[] {
    const span = (last - first) >>> 0;
    const found: (readonly [number, OutgoingDelivery])[] = [];
    if (span < this.#deliveries.size) {
      for (let nth = 0; nth <= span; nth++) {
        const id = (first + nth) >>> 0;
        const delivery = this.#deliveries.get(id);
        if (delivery !== undefined) found.push([id, delivery]);
      }
      this.#places.worked(span);
    } else {
      for (const entry of this.#deliveries) if ((entry[0] - first) >>> 0 <= span) found.push(entry);
      this.#places.worked(this.#deliveries.size);
    }
    return found;
  }
}
