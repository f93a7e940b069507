/**
 * Where in the one file of an unfinished object each block is put: at the place that it will most likely have in the
 * object, so that the list which commits them finds them in order and nothing is copied. A wrong guess costs a copy and
 * nothing else: what counts is the list.
 *
 * What is guessed from: the ids that the storage libraries make end in a number, which is the block's ordinal (JavaScript, C)
 * or its first byte (Python). Ids without one (Java) come in order where blocks are sent one after the other.
 */
import { limits } from '../../../base/limits.ts';

export interface Region {
  readonly offset: number;
  readonly bytes: number;
}

export class Placement {
  /** In order of offset, none touching another's bytes. */
  readonly #taken: Region[] = [];
  /** Bytes of the first block with a number: all but the last of a client's blocks have the same size. */
  #blockBytes: number | undefined;

  /** Takes a region that nobody has. @param id base64 */
  place(id: string, bytes: number, offsetMax: number): Region {
    const guess = this.#guess(id, bytes);
    const isUsable = guess !== undefined && guess + bytes <= offsetMax && this.#isFree(guess, bytes);
    const region = { offset: isUsable ? guess : this.#end(), bytes };
    this.take(region);
    return region;
  }

  /** What was placed before, by another run of the program. */
  take(region: Region): void {
    this.#taken.splice(this.#indexBehind(region.offset), 0, region);
  }

  /** The region is free again: what was to stand there did not come. */
  release(region: Region): void {
    const at = this.#taken.indexOf(region);
    if (at !== -1) this.#taken.splice(at, 1);
  }

  #guess(id: string, bytes: number): number | undefined {
    const digits = /(\d+)\s*$/.exec(Buffer.from(id, 'base64').toString('latin1'));
    const number = digits === null ? Number.NaN : Number(digits[1].slice(-15));
    if (!Number.isSafeInteger(number)) return undefined;
    this.#blockBytes ??= bytes;
    return number >= limits.fileBlocksMax ? number : number * this.#blockBytes;
  }

  #isFree(offset: number, bytes: number): boolean {
    const behind = this.#indexBehind(offset);
    const [before, after] = [this.#taken[behind - 1], this.#taken[behind]];
    const startsFree = before === undefined || before.offset + before.bytes <= offset;
    return startsFree && (after === undefined || offset + bytes <= after.offset);
  }

  #end(): number {
    const last = this.#taken.at(-1);
    return last === undefined ? 0 : last.offset + last.bytes;
  }

  /** Index of the first region that begins behind `offset`. */
  #indexBehind(offset: number): number {
    let low = 0;
    let high = this.#taken.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#taken[middle].offset <= offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** Whether the regions, in this order, are the beginning of the file without a gap; then how many bytes that is. */
export function contiguousBytes(regions: readonly Region[]): number | undefined {
  let end = 0;
  for (const { offset, bytes } of regions) {
    if (offset !== end) return undefined;
    end += bytes;
  }
  return end;
}
