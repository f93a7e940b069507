import { limits } from '../../../base/limits.ts';
import type { SendingLink } from './link-session.ts';

/**
 * Links of one connection that have something to send and wait for a window or for room in the socket. A waiting link says
 * so, is woken once, and says so again if it still waits: the work is in proportion to what can be sent, not to the links that
 * there are. A share of them is woken in one turn of the event loop, the others in those that follow.
 */
export class Wakes {
  readonly #defer: (callback: () => void) => void;
  /** By whatever they wait for together, a session. */
  readonly #waiting = new Map<object, Set<SendingLink>>();
  /** May send now, in the order of their turns. */
  readonly #due = new Set<SendingLink>();
  #left: number = limits.amqpWakesPerTurn;
  #isPlanned = false;
  #isRunning = false;

  /** @param defer runs a callback in the next turn of the event loop */
  constructor(defer: (callback: () => void) => void = setImmediate) {
    this.#defer = defer;
  }

  /** `link` has something to send and cannot. Asking twice is asking once. */
  wait(link: SendingLink): void {
    const waiting = this.#waiting.get(link.session);
    if (waiting === undefined) this.#waiting.set(link.session, new Set([link]));
    else waiting.add(link);
  }

  /** The window of `session` has widened. */
  widened(session: object): void {
    const waiting = this.#waiting.get(session);
    if (waiting === undefined) return;
    this.#waiting.delete(session);
    for (const link of waiting) this.#due.add(link);
    this.#run();
  }

  /** Room in the socket has come, or a place for what the peer has yet to settle. */
  drained(): void {
    for (const waiting of this.#waiting.values()) for (const link of waiting) this.#due.add(link);
    this.#waiting.clear();
    this.#run();
  }

  forget(link: SendingLink): void {
    this.#due.delete(link);
    const waiting = this.#waiting.get(link.session);
    if (waiting?.delete(link) && waiting.size === 0) this.#waiting.delete(link.session);
  }

  #run(): void {
    if (this.#isRunning) return;
    this.#isRunning = true;
    try {
      for (const link of this.#due) {
        if (this.#left === 0) break;
        this.#left--;
        this.#due.delete(link);
        if (link.isOpen) link.onSendable();
      }
    } finally {
      this.#isRunning = false;
    }
    if (this.#isPlanned || this.#left === limits.amqpWakesPerTurn) return;
    this.#isPlanned = true;
    this.#defer(() => {
      this.#isPlanned = false;
      this.#left = limits.amqpWakesPerTurn;
      this.#run();
    });
  }
}
