/** What many rows of a group have in common, such as the annotations of a sender: kept once, with the rows that it is of. */
import { limits } from '../../base/limits.ts';

export class SharedValues<Value extends object> {
  /** In the order in which they came; the rows of each. */
  readonly distinct: Value[] = [];
  readonly counts: number[] = [];
  readonly #of = new Int32Array(limits.archiveGroupRows);
  readonly #known = new Map<Value, number>();
  #rows = 0;
  #last: Value | undefined;
  #lastIndex = 0;

  /** The next row's. Values are told from each other as objects. */
  add(value: Value): void {
    if (value !== this.#last) {
      this.#last = value;
      this.#lastIndex = this.#indexOf(value);
    }
    this.counts[this.#lastIndex]++;
    this.#of[this.#rows++] = this.#lastIndex;
  }

  /** Of each row, the index of its value. */
  get ofRows(): Int32Array {
    return this.#of.subarray(0, this.#rows);
  }

  clear(): void {
    this.distinct.length = this.counts.length = this.#rows = 0;
    this.#known.clear();
    this.#last = undefined;
  }

  #indexOf(value: Value): number {
    let index = this.#known.get(value);
    if (index === undefined) {
      index = this.distinct.push(value) - 1;
      this.counts.push(0);
      this.#known.set(value, index);
    }
    return index;
  }
}

/** Texts or bytes, each kept once, as the dictionary of a column. */
export class Dictionary {
  readonly values: Buffer[] = [];
  readonly #texts = new Map<string, number>();
  readonly #bytes = new Map<string, number>();

  /** -1 = there is no value. */
  indexOf(value: string | Buffer | undefined | null): number {
    if (value === undefined || value === null) return -1;
    const isText = typeof value === 'string';
    const known = isText ? this.#texts : this.#bytes;
    const key = isText ? value : value.toString('latin1');
    let index = known.get(key);
    if (index === undefined) {
      index = this.values.push(isText ? Buffer.from(value) : value) - 1;
      known.set(key, index);
    }
    return index;
  }
}
