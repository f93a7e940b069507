import type { Cancel, Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';

/** A crystal's drift at its worst, and a rate that NTP adjusts: what an older answer may be off by since. */
const DRIFT = 0.000_5;

/**
 * The time of a database that nodes share, as one node knows it: locks and leases are about this time, so that a node whose own
 * clock is wrong neither ends another's lock nor holds one for ever. The database is asked now and then; in between the
 * monotonic clock carries its time on, so that a jump of the node's own clock does not count. Never goes back.
 */
export class DatabaseClock implements Clock {
  readonly #ask: () => Promise<number>;
  readonly #inner: Clock;
  /** The database's time at monotonic 0 of this node, and by how much that may be wrong at `#at`, in milliseconds. */
  #offset = 0;
  #errorMs = Number.POSITIVE_INFINITY;
  #at = 0;
  #last = 0;
  #isClosed = false;
  #cancel: Cancel = () => {};

  private constructor(ask: () => Promise<number>, inner: Clock) {
    this.#ask = ask;
    this.#inner = inner;
  }

  /**
   * @param ask UTC milliseconds, as the database shows them
   * @throws what `ask` throws the first time; later it is asked again
   */
  static async open(ask: () => Promise<number>, inner: Clock): Promise<DatabaseClock> {
    const clock = new DatabaseClock(ask, inner);
    await clock.look();
    clock.#plan();
    return clock;
  }

  now(): number {
    this.#last = Math.max(this.#last, Math.round(this.#offset + this.#inner.monotonic()));
    return this.#last;
  }

  monotonic(): number {
    return this.#inner.monotonic();
  }

  after(delayMs: number, callback: () => void): Cancel {
    return this.#inner.after(delayMs, callback);
  }

  /** Asks now. An answer that took longer than the error of the older one by now is left out. */
  async look(): Promise<void> {
    const asked = this.#inner.monotonic();
    const time = await this.#ask();
    const answered = this.#inner.monotonic();
    const errorMs = (answered - asked) / 2;
    if (errorMs > this.#errorMs + DRIFT * (answered - this.#at)) return;
    this.#offset = time - (asked + answered) / 2;
    this.#errorMs = errorMs;
    this.#at = answered;
  }

  close(): void {
    this.#isClosed = true;
    this.#cancel();
  }

  #plan(): void {
    if (this.#isClosed) return;
    this.#cancel = this.#inner.after(limits.databaseClockMs, () => {
      // A database that does not answer: its time is carried on meanwhile.
      this.look()
        .catch(() => {})
        .finally(() => this.#plan());
    });
  }
}
