/** The pair of files that a process takes blocks into, beside those of others (`block-files.ts`). */
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import path from 'node:path';
import { dataOf, orAbsent } from './block-files.ts';
import type { LeftBytes } from './left-bytes.ts';
import type { Placement } from './placement.ts';

export interface Pair {
  /** Name of its index. */
  readonly index: string;
  readonly placement: Placement;
  /** Of its blocks. */
  bytes: number;
  readonly left: LeftBytes;
  count: number;
  /** Nothing more is written to it. */
  isOver: boolean;
}

export interface OpenPair {
  readonly pair: Pair;
  readonly data: FileHandle;
  readonly index: FileHandle;
}

/** Of its blocks, and what is left of those that broke off. */
export const bytesOf = ({ bytes, left }: Pair): number => bytes + left.bytes;

/** Undefined = one of the two is not there any more. */
export async function reopened(folder: string, pair: Pair): Promise<OpenPair | undefined> {
  const data = await open(path.join(folder, dataOf(pair.index)), 'r+').catch(orAbsent);
  if (data === undefined) return undefined;
  const append = constants.O_WRONLY | constants.O_APPEND;
  const index = await open(path.join(folder, pair.index), append).catch(async (error) => {
    await data.close();
    return orAbsent(error);
  });
  return index && { pair, data, index };
}

/** Whether a file has a name still; one on a server that has removed it is `stale`. */
export async function isNamed(handle: FileHandle): Promise<boolean> {
  const found = await handle.stat().catch(orAbsent);
  return found !== undefined && found.nlink > 0;
}
