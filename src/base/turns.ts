import { assert } from './assert.ts';

/**
 * Work of one thread that is cheap once and is asked for in heaps: a large document is put together, a batch is taken apart. In one turn
 * of the event loop so much of it is done, for all callers together; the rest waits for the next turns, a queue for each caller, and the
 * lines are served one after the other. So who asks for much waits for himself, and between any two turns all others are served.
 */
interface Waiting {
  readonly units: number;
  begin(): void;
}

export class Turns {
  readonly #unitsPerTurn: () => number;
  #spent = 0;
  #isCounting = false;
  readonly #lines = new Map<string, Waiting[]>();

  /** @param unitsPerTurn of whatever the work is counted in; the last piece of a turn may go beyond it */
  constructor(unitsPerTurn: () => number) {
    this.#unitsPerTurn = unitsPerTurn;
  }

  /**
   * @param key who asks
   * @returns undefined = the work is to be done now; else it is to be done as soon as that resolves
   */
  take(key: string, units: number): Promise<void> | undefined {
    if (this.#lines.size === 0 && this.#spent < this.#budget()) {
      this.#spend(units);
      return undefined;
    }
    return new Promise((begin) => {
      const line = this.#lines.get(key);
      if (line === undefined) this.#lines.set(key, [{ units, begin }]);
      else line.push({ units, begin });
    });
  }

  /** Without one nothing would ever begin. */
  #budget(): number {
    const units = this.#unitsPerTurn();
    assert(units > 0, 'a turn has room for work');
    return units;
  }

  #spend(units: number): void {
    this.#spent += units;
    if (this.#isCounting) return;
    this.#isCounting = true;
    setImmediate(() => this.#nextTurn());
  }

  #nextTurn(): void {
    this.#isCounting = false;
    this.#spent = 0;
    for (const [key, line] of this.#lines) {
      if (this.#spent >= this.#budget()) return;
      const [first] = line;
      line.shift();
      // Behind the others.
      this.#lines.delete(key);
      if (line.length > 0) this.#lines.set(key, line);
      this.#spend(first.units);
      first.begin();
    }
  }
}
