/** Things that all fall due after the same time: one timer looks after them, and not one for each. */
import type { HostClock } from '../../../gateway/index.ts';

export class Deadlines<Item> {
  readonly #clock: Pick<HostClock, 'monotonic' | 'after'>;
  readonly #afterMs: number;
  readonly #due: (item: Item) => void;
  /** When each falls due, in that order. */
  readonly #waiting = new Map<Item, number>();
  #isArmed = false;

  /** @param due Called once for each item that was not deleted until then */
  constructor(clock: Pick<HostClock, 'monotonic' | 'after'>, afterMs: number, due: (item: Item) => void) {
    this.#clock = clock;
    this.#afterMs = afterMs;
    this.#due = due;
  }

  get size(): number {
    return this.#waiting.size;
  }

  add(item: Item): void {
    this.#waiting.set(item, this.#clock.monotonic() + this.#afterMs);
    if (!this.#isArmed) this.#arm(this.#afterMs);
  }

  delete(item: Item): void {
    this.#waiting.delete(item);
  }

  /** The timer outlives what it was set for: what comes meanwhile needs none of its own. */
  #arm(delayMs: number): void {
    this.#isArmed = true;
    this.#clock.after(delayMs, () => this.#fire());
  }

  #fire(): void {
    this.#isArmed = false;
    const now = this.#clock.monotonic();
    for (const [item, at] of this.#waiting) {
      if (at > now) {
        if (!this.#isArmed) this.#arm(at - now);
        return;
      }
      this.#waiting.delete(item);
      this.#due(item);
    }
  }
}
