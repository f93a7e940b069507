import type { Cancel, Clock } from '../../../base/clock.ts';
import { limits } from '../../../base/limits.ts';

/**
 * One coarse timer of a door for all links that wait for time to pass. It runs while anybody waits: an idle door does not
 * wake up. A waiter that was called does not wait any more, and joins again at the end if it must.
 */
export class Pulse {
  readonly #clock: Clock;
  readonly #waiting = new Set<() => void>();
  #cancel: Cancel | undefined;
  #isHurried = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Calls `listener` once, at the next beat. The returned function takes it out again. */
  join(listener: () => void): () => void {
    this.#waiting.add(listener);
    if (this.#cancel === undefined) this.#arm(limits.amqpPulseMs);
    return () => {
      this.#waiting.delete(listener);
    };
  }

  /** Something has happened that those who wait should see soon; what happens together is seen together. */
  hurry(): void {
    if (this.#waiting.size === 0 || this.#isHurried) return;
    this.#isHurried = true;
    this.#cancel?.();
    this.#arm(limits.amqpHurryMs);
  }

  stop(): void {
    this.#waiting.clear();
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #arm(delayMs: number): void {
    this.#cancel = this.#clock.after(delayMs, () => {
      this.#cancel = undefined;
      this.#isHurried = false;
      const called = [...this.#waiting];
      this.#waiting.clear();
      for (const listener of called) listener();
    });
  }
}
