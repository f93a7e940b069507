/** The last changes of rows by their number, for clients that come back: which rows they may not have been told of. */
import type { RowChange } from './row-changes.ts';

export class ChangeLog {
  readonly #size: number;
  readonly #changes: RowChange[] = [];
  #last = 0;
  /** Number before the first change that may be kept. */
  #before = 0;

  /** @param size How many are kept */
  constructor(size: number) {
    this.#size = size;
  }

  /** Number of the last change; 0 = there was none. */
  get last(): number {
    return this.#last;
  }

  add(change: RowChange): void {
    this.#changes[this.#last++ % this.#size] = change;
  }

  /** The changes behind number `after`, the oldest first; undefined = they are not all kept, or there was no such number. */
  since(after: number): readonly RowChange[] | undefined {
    if (after < this.#before || after > this.#last || this.#last - after > this.#size) return undefined;
    const changes: RowChange[] = [];
    for (let at = after; at < this.#last; at++) changes.push(this.#changes[at % this.#size]);
    return changes;
  }

  /** Forgets all; numbers go on. */
  clear(): void {
    this.#changes.length = 0;
    // What was before is not kept: a number of then is refused.
    this.#last += this.#size + 1;
    this.#before = this.#last;
  }
}
