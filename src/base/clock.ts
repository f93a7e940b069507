/**
 * Time as a parameter. Code that needs the time or a timer takes a `Clock`, so that tests and the simulation can
 * stand in for the machine's clock.
 */
export interface Clock {
  /** UTC milliseconds since 1970. May jump in either direction when the machine's clock is set. */
  now(): number;
  /** Milliseconds from an arbitrary start. Never goes back. For durations and deadlines inside one process. */
  monotonic(): number;
  /** Runs `callback` once after `delayMs`. The returned function cancels it; calling it twice is harmless. */
  after(delayMs: number, callback: () => void): Cancel;
}

export type Cancel = () => void;

/** The machine's own clock. Its timers do not keep the process alive: listeners do. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(delayMs, callback) {
    // Node turns delays over 2^31 - 1 ms into 1 ms; a longer wait is taken in steps.
    const longest = 0x7fffffff;
    let timer: NodeJS.Timeout;
    const arm = (leftMs: number): void => {
      timer = setTimeout(() => (leftMs > longest ? arm(leftMs - longest) : callback()), Math.min(leftMs, longest));
      timer.unref();
    };
    arm(Math.max(0, delayMs));
    return () => clearTimeout(timer);
  },
};

interface Pending {
  readonly at: number;
  readonly order: number;
  readonly callback: () => void;
}

/** A clock that stands still until it is told to move; timers fire in order of time while it moves. */
export class VirtualClock implements Clock {
  #wall: number;
  #elapsed = 0;
  #order = 0;
  #pending: Pending[] = [];

  /** @param startMs UTC milliseconds that `now()` shows at first. */
  constructor(startMs = Date.UTC(2026, 0, 1)) {
    this.#wall = startMs;
  }

  now(): number {
    return this.#wall;
  }

  monotonic(): number {
    return this.#elapsed;
  }

  after(delayMs: number, callback: () => void): Cancel {
    const entry = { at: this.#elapsed + Math.max(0, delayMs), order: this.#order++, callback };
    this.#pending.push(entry);
    return () => {
      this.#pending = this.#pending.filter((other) => other !== entry);
    };
  }

  /** Lets `durationMs` pass and fires the timers that fall due, in order. */
  advance(durationMs: number): void {
    const end = this.#elapsed + durationMs;
    for (;;) {
      const due = this.#pending.filter((entry) => entry.at <= end).sort((a, b) => a.at - b.at || a.order - b.order)[0];
      if (due === undefined) break;
      this.#pending = this.#pending.filter((entry) => entry !== due);
      this.#move(due.at);
      due.callback();
    }
    this.#move(end);
  }

  /** Sets the wall clock, as an administrator or NTP would; monotonic time and timers do not notice. */
  setWall(nowMs: number): void {
    this.#wall = nowMs;
  }

  #move(elapsed: number): void {
    this.#wall += elapsed - this.#elapsed;
    this.#elapsed = elapsed;
  }
}
