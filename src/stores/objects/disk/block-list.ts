import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import type { DiskTurns } from './disk-turns.ts';
import type { Region } from './placement.ts';
import { readRegion } from './read-region.ts';

/** A block in an open file. */
export interface OpenRegion extends Region {
  readonly data: FileHandle;
}

/** Blocks in the order of a list, put one behind the other; good until what it was made of is closed. */
export class BlockList {
  readonly regions: readonly OpenRegion[];
  readonly bytes: number;
  readonly #turns: DiskTurns;

  constructor(regions: readonly OpenRegion[], turns: DiskTurns) {
    this.regions = regions;
    this.bytes = regions.reduce((sum, region) => sum + region.bytes, 0);
    this.#turns = turns;
  }

  /** What lies in them from `offset` on. */
  async *read(offset = 0, bytes = this.bytes - offset): AsyncGenerator<Uint8Array> {
    let begin = 0;
    for (const region of this.regions) {
      const from = Math.max(offset, begin);
      const to = Math.min(offset + bytes, begin + region.bytes);
      if (from < to) yield* readRegion(region.data, region.offset + from - begin, to - from, this.#turns);
      begin += region.bytes;
    }
  }
}

/**
 * Tells the list of an upload from any other, in letters of base64url: clients give the blocks of every file the same ids. Undefined = it
 * names no block, or comes once only.
 */
export function sumOfList(ids: readonly string[], upload: string | undefined): string | undefined {
  if (ids.length === 0 || upload === undefined) return undefined;
  return createHash('sha256')
    .update([upload, ...ids].join('\n'))
    .digest('base64url');
}
