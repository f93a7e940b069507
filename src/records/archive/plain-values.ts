/** Values of bytes as Parquet's PLAIN has them, a length before each, cut into pages where a row begins. */
import { putUint32LE } from '../../base/bytes.ts';

/** A page ends with the row that makes it as large: readers unpack whole pages. */
const PAGE_BYTES = 1024 * 1024;
const FIRST_BYTES = 64 * 1024;
const FIRST_SLOTS = 1024;
const LENGTH_BYTES = 4;

/** Where a page ends. `slots`: values, and places of rows without one; `present`: those that have a value. All count from the start. */
export interface PageEnd {
  readonly slots: number;
  readonly present: number;
  readonly rows: number;
  readonly bytes: number;
}

/** Its memory is used again after `clear`. */
export class PlainValues {
  #bytes = Buffer.allocUnsafeSlow(FIRST_BYTES);
  #end = 0;
  /** Where the page begins that grows. */
  #pageStart = 0;
  #slots = 0;
  #present = 0;
  #rows = 0;
  #pages: PageEnd[] = [];
  #isThere = new Uint8Array(FIRST_SLOTS);

  /** @param startsRow whether it is the first value of its row, or the only one */
  add(value: Buffer | string | undefined, startsRow = true): void {
    if (value === undefined) {
      this.#slot(startsRow, 0);
      return;
    }
    const bytes = typeof value === 'string' ? Buffer.from(value) : value;
    this.addPart(bytes, 0, bytes.length, startsRow);
  }

  /** The bytes from `from` to `to`. */
  addPart(bytes: Buffer, from: number, to: number, startsRow = true): void {
    this.#slot(startsRow, 1);
    this.#present++;
    const start = this.#end + LENGTH_BYTES;
    const end = start + to - from;
    if (end > this.#bytes.length) this.#grow(end);
    putUint32LE(this.#bytes, this.#end, to - from);
    bytes.copy(this.#bytes, start, from, to);
    this.#end = end;
  }

  get bytes(): Buffer {
    return this.#bytes.subarray(0, this.#end);
  }

  /** Of each slot, 1 = it has a value. */
  get isThere(): Uint8Array {
    return this.#isThere.subarray(0, this.#slots);
  }

  /** At least one. */
  get pages(): readonly PageEnd[] {
    return [...this.#pages, this.#now()];
  }

  clear(): void {
    this.#end = this.#pageStart = this.#slots = this.#present = this.#rows = 0;
    this.#pages = [];
  }

  #slot(startsRow: boolean, isThere: 0 | 1): void {
    if (startsRow) {
      if (this.#end - this.#pageStart >= PAGE_BYTES) {
        this.#pages.push(this.#now());
        this.#pageStart = this.#end;
      }
      this.#rows++;
    }
    if (this.#slots === this.#isThere.length) this.#growSlots();
    this.#isThere[this.#slots++] = isThere;
  }

  #now(): PageEnd {
    return { slots: this.#slots, present: this.#present, rows: this.#rows, bytes: this.#end };
  }

  #grow(needed: number): void {
    const larger = Buffer.allocUnsafeSlow(Math.max(this.#bytes.length * 2, needed));
    larger.set(this.#bytes.subarray(0, this.#end));
    this.#bytes = larger;
  }

  #growSlots(): void {
    const larger = new Uint8Array(this.#slots * 2);
    larger.set(this.#isThere);
    this.#isThere = larger;
  }
}
