import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';

/** Somebody who delivers events to a reader, a piece at a time. */
export interface Deliverer {
  /** Delivers one piece. True = there is more that may be delivered right away. Does not throw. */
  deliverPiece(): boolean;
}

/**
 * Whose turn it is to deliver, for all readers of one thread. Devices come first: they have nowhere to put what the hub
 * does not take, while a reader that waits finds everything in the log. So delivering takes at most half of the time that
 * all else in the thread has taken since (`limits.deliveryShareMax`), and a piece in any case, so that it always
 * goes on. Where there is little else to do, the thread comes back at once and readers have it to themselves.
 *
 * Readers take turns, a piece each, so that one that catches up does not keep others waiting.
 */
export class DeliveryTurns {
  readonly #clock: Pick<Clock, 'monotonic'>;
  readonly #defer: (callback: () => void) => void;
  /** In the order of their turns. */
  readonly #waiting = new Set<Deliverer>();
  #isPlanned = false;
  /** When delivering ended the last time. */
  #ended = 0;

  /** @param defer runs a callback after what has come in meanwhile; absent = in the next turn of the event loop */
  constructor(clock: Pick<Clock, 'monotonic'>, defer: (callback: () => void) => void = setImmediate) {
    this.#clock = clock;
    this.#defer = defer;
  }

  /** Gives `deliverer` a turn soon; asking twice is asking once. */
  want(deliverer: Deliverer): void {
    this.#waiting.add(deliverer);
    if (this.#isPlanned) return;
    this.#isPlanned = true;
    this.#defer(this.#run);
  }

  readonly #run = (): void => {
    this.#isPlanned = false;
    const begun = this.#clock.monotonic();
    const until = begun + turnMs(begun - this.#ended);
    this.#ended = begun;
    for (const deliverer of this.#waiting) {
      // A set is walked in the order of adding, and to the end of what is added meanwhile.
      this.#waiting.delete(deliverer);
      if (deliverer.deliverPiece()) this.#waiting.add(deliverer);
      this.#ended = this.#clock.monotonic();
      if (this.#ended >= until) break;
    }
    if (this.#waiting.size === 0 || this.#isPlanned) return;
    this.#isPlanned = true;
    this.#defer(this.#run);
  };
}

/** How long delivering may go on, when all else has taken `elseMs` since it ended. */
export function turnMs(elseMs: number): number {
  return Math.min(limits.deliveryTurnMsMax, Math.max(limits.deliveryTurnMsMin, elseMs * limits.deliveryShareMax));
}
