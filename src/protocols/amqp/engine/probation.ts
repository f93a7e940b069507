import type { Cancel, Clock } from '../../../base/clock.ts';
import { limits } from '../../../base/limits.ts';

/** The time of a connection in which nobody has authenticated: little of it is allowed, and few bytes. */
export class Probation {
  #isOver = false;
  #bytes = 0;
  readonly #cancelEnd: Cancel;

  /** @param failed is called when the time has run out */
  constructor(clock: Clock, failed: () => void) {
    this.#cancelEnd = clock.after(limits.handshakeMs, failed);
  }

  /** A client has authenticated. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** A client has authenticated: neither bound holds any more. */
  pass(): void {
    this.#isOver = true;
    this.#cancelEnd();
  }

  /** Counts what has come. @returns false when it is too much */
  admits(bytes: number): boolean {
    if (this.#isOver) return true;
    this.#bytes += bytes;
    return this.#bytes <= limits.amqpUnauthenticatedBytesMax;
  }

  /** The connection is gone. */
  stop(): void {
    this.#cancelEnd();
  }
}
