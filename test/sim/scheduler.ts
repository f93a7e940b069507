import type { Cancel, Clock } from '../../src/base/clock.ts';

interface Entry {
  readonly at: number;
  readonly order: number;
  callback: (() => void) | undefined;
}

/**
 * Time of the simulation: a heap of what is to happen. One entry is carried out at a time, and the next one only when
 * all that it set going in promises and streams has come to rest; nothing waits for the machine's clock.
 */
export class Scheduler implements Clock {
  #elapsed = 0;
  #wall: number;
  #order = 0;
  readonly #heap: Entry[] = [];

  /** @param wallMs UTC milliseconds that `now()` shows at first. */
  constructor(wallMs: number) {
    this.#wall = wallMs;
  }

  now(): number {
    return this.#wall;
  }

  monotonic(): number {
    return this.#elapsed;
  }

  /** Sets the wall clock; what is planned does not notice. */
  jump(byMs: number): void {
    this.#wall += byMs;
  }

  after(delayMs: number, callback: () => void): Cancel {
    const entry: Entry = { at: this.#elapsed + Math.max(0, delayMs), order: this.#order++, callback };
    this.#push(entry);
    return () => {
      entry.callback = undefined;
    };
  }

  sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => void this.after(delayMs, resolve));
  }

  /** Runs until `done` says so. @throws Error when nothing is planned any more, or `elapsedMax` is over. */
  async run(done: () => boolean, elapsedMax: number): Promise<void> {
    await turn();
    while (!done()) {
      const entry = this.#pop();
      if (entry === undefined) throw new Error('nothing is planned any more: the simulation hangs');
      if (entry.callback === undefined) continue;
      if (entry.at > elapsedMax) throw new Error(`the simulation did not end within ${elapsedMax} ms of its time`);
      // Whole milliseconds, as the machine's clock has them.
      const before = Math.floor(this.#elapsed);
      this.#elapsed = entry.at;
      this.#wall += Math.floor(entry.at) - before;
      entry.callback();
      await turn();
    }
  }

  #push(entry: Entry): void {
    const heap = this.#heap;
    let at = heap.push(entry) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (isBefore(heap[parent], entry)) break;
      heap[at] = heap[parent];
      at = parent;
    }
    heap[at] = entry;
  }

  #pop(): Entry | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined || heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1], heap[child])) child++;
      if (isBefore(last, heap[child])) break;
      heap[at] = heap[child];
      at = child;
    }
    heap[at] = last;
    return first;
  }
}

const isBefore = (a: Entry, b: Entry): boolean => a.at < b.at || (a.at === b.at && a.order < b.order);

/** Lets everything that waits in promises and `process.nextTick` run: both are empty when an immediate is called. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/**
 * One run of the hub's process. When it is over nothing of it happens any more: its timers do not fire, its calls of the
 * disk are never answered.
 */
export class Life {
  readonly clock: Clock;
  readonly #scheduler: Scheduler;
  #over = false;
  readonly #endings: (() => void)[] = [];

  constructor(scheduler: Scheduler) {
    this.#scheduler = scheduler;
    this.clock = {
      now: () => scheduler.now(),
      monotonic: () => scheduler.monotonic(),
      after: (delayMs, callback) => scheduler.after(delayMs, () => this.#over || callback()),
    };
  }

  get over(): boolean {
    return this.#over;
  }

  end(): void {
    this.#over = true;
    for (const ending of this.#endings.splice(0)) ending();
  }

  /** Calls `ending` when the process has ended. */
  onEnd(ending: () => void): void {
    this.#endings.push(ending);
  }

  /** Never resolves when the process ends meanwhile. */
  pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => void this.#scheduler.after(delayMs, () => this.#over || resolve()));
  }
}
