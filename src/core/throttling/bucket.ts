/**
 * A token bucket that may be overdrawn: a caller that comes while it is not empty is let through whole, and pays for it by
 * waiting afterwards. So nothing is too large for it, and no message is refused that a wait can make good. Numbers only;
 * times are milliseconds of the monotonic clock.
 */
export class Bucket {
  readonly max: number;
  readonly #perMs: number;
  #level: number;
  #at: number;

  /** @param perSecond what flows in. @param max what it holds at most, and holds at first. */
  constructor(perSecond: number, max: number, now: number) {
    this.max = max;
    this.#perMs = perSecond / 1000;
    this.#level = max;
    this.#at = now;
  }

  /** Takes `amount`. @returns milliseconds until the bucket is no longer overdrawn; 0 = it is not. */
  take(amount: number, now: number): number {
    this.#fill(now);
    this.#level -= amount;
    return this.#level >= 0 ? 0 : -this.#level / this.#perMs;
  }

  /** Milliseconds until it is no longer overdrawn. */
  waitMs(now: number): number {
    this.#fill(now);
    return this.#level >= 0 ? 0 : -this.#level / this.#perMs;
  }

  /** Milliseconds until `amount` is there. */
  waitMsFor(amount: number, now: number): number {
    this.#fill(now);
    return this.#level >= amount ? 0 : (amount - this.#level) / this.#perMs;
  }

  /** What has been taken and has not flowed in again. */
  used(now: number): number {
    this.#fill(now);
    return this.max - this.#level;
  }

  #fill(now: number): void {
    const level = this.#level + (now - this.#at) * this.#perMs;
    this.#level = level > this.max ? this.max : level;
    this.#at = now;
  }
}
