import type { Clock } from '../../../base/clock.ts';
import { limits } from '../../../base/limits.ts';

/** Where bytes for one peer go, by its identity: what is given between `cork` and `uncork` leaves in one write. */
export interface DeliverySocket {
  cork(): void;
  uncork(): void;
}

/** What delivers events to a reader, a piece at a time. */
export interface Deliverer {
  /** Those of one socket have their turn together. */
  readonly socket: DeliverySocket;
  /** Delivers one piece. True = there is more that may be delivered right away. Does not throw. */
  deliverPiece(): boolean;
  /** The socket was given all that was delivered, after `uncork`. Does not throw. */
  written(): void;
}

/**
 * Whose turn it is to deliver, for all readers of one thread. Devices come first: they have nowhere to put what the hub
 * does not take, while a reader that waits finds everything in the log. So delivering takes at most half of the time that
 * all else in the thread has taken since (`limits.deliveryShareMax`), and a piece in any case, so that it always
 * goes on. Where there is little else to do, the thread comes back at once and readers have it to themselves.
 *
 * Sockets take turns, a piece for each of their readers, so that one that catches up does not keep others waiting. Clients read
 * all partitions over one socket: one write for what a commit has brought to all of them, instead of one for each, wakes the
 * client once and passes through the network once.
 */
export class DeliveryTurns {
  readonly #clock: Pick<Clock, 'monotonic'>;
  readonly #defer: (callback: () => void) => void;
  /** In the order of their turns. */
  readonly #waiting = new Map<DeliverySocket, Set<Deliverer>>();
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
    this.#add(deliverer);
    this.#plan();
  }

  #add(deliverer: Deliverer): void {
    const waiting = this.#waiting.get(deliverer.socket);
    if (waiting === undefined) this.#waiting.set(deliverer.socket, new Set([deliverer]));
    else waiting.add(deliverer);
  }

  #plan(): void {
    if (this.#isPlanned) return;
    this.#isPlanned = true;
    this.#defer(this.#run);
  }

  readonly #run = (): void => {
    this.#isPlanned = false;
    const begun = this.#clock.monotonic();
    const until = begun + turnMs(begun - this.#ended);
    this.#ended = begun;
    // A map is walked in the order of adding, and to the end of what is added meanwhile.
    for (const [socket, deliverers] of this.#waiting) {
      this.#waiting.delete(socket);
      this.#deliver(socket, deliverers, until);
      if (this.#ended >= until) break;
    }
    if (this.#waiting.size > 0) this.#plan();
  };

  /** A piece for each of `deliverers`, as far as there is time. Who is left waits for the next turn, before those who have more. */
  #deliver(socket: DeliverySocket, deliverers: Set<Deliverer>, until: number): void {
    const served: Deliverer[] = [];
    const unfinished: Deliverer[] = [];
    socket.cork();
    for (const deliverer of deliverers) {
      if (served.length > 0 && this.#ended >= until) break;
      deliverers.delete(deliverer);
      served.push(deliverer);
      if (deliverer.deliverPiece()) unfinished.push(deliverer);
      this.#ended = this.#clock.monotonic();
    }
    socket.uncork();
    for (const deliverer of served) deliverer.written();
    for (const deliverer of [...deliverers, ...unfinished]) this.#add(deliverer);
    this.#ended = this.#clock.monotonic();
  }
}

/** How long delivering may go on, when all else has taken `elseMs` since it ended. */
export function turnMs(elseMs: number): number {
  return Math.min(limits.deliveryTurnMsMax, Math.max(limits.deliveryTurnMsMin, elseMs * limits.deliveryShareMax));
}
