/** Unfinished objects: blocks that lie on the disk until a list makes an object of them. */
import { createHash } from 'node:crypto';
import path from 'node:path';
import type { ByteSource } from '../../../core/files/object-store.ts';
import type { BlockList } from './block-list.ts';

export const STAGING_FOLDER = '.staging';

/** A block that comes. */
export interface BlockContent {
  readonly source: ByteSource;
  readonly bytes: number;
  /** Beyond this place in the object it does not lie. */
  readonly offsetMax: number;
}

/**
 * Those of one store. `Staging` is the one of a folder that a process has for itself, `SharedStaging` that of a folder that
 * several share. Who calls `write` shares the path's lock, who calls `blocks` or `drop` holds it alone.
 */
export interface Unfinished {
  /** Durable when it resolves. @throws ObjectError */
  write(objectPath: string, id: string, content: BlockContent): Promise<void>;
  /** What there is now of an object that is to be made of the blocks `ids`. The caller closes it. */
  blocks(objectPath: string, ids: readonly string[]): Promise<Blocks>;
  /** Bytes of an object's blocks that this process has taken. */
  bytesOf(objectPath: string): Promise<number>;
  /** What this process has taken and not yet reported as dropped. */
  all(): readonly { readonly objectPath: string; readonly bytes: number }[];
  drop(objectPath: string): Promise<void>;
  /** Drops those whose paths begin with `prefix`. */
  dropAll(prefix: string): Promise<void>;
  /**
   * Drops those in which nothing was staged since `before` (UTC milliseconds). Where a client is at work it is left for the next
   * time: one that sends a block slowly does not hold up all others.
   */
  expire(before: number): Promise<void>;
  close(): Promise<void>;
}

/** Blocks of one object. */
export interface Blocks {
  /** Nothing has come since they were removed; who removes them may be about it still, or was killed at it. */
  readonly isOver: boolean;
  /** Those that a list names. @throws ObjectError unknownBlock; unavailable: they are being removed now */
  list(ids: readonly string[]): Promise<BlockList>;
  /**
   * A file of bytes as the object itself, where the listed blocks are its beginning without a gap, and nobody else writes to it:
   * cut to their length, durable; undefined where they must be copied.
   */
  asObject(list: BlockList): Promise<string | undefined>;
  /** False = another process has ended the upload since they were read. */
  areThere(): Promise<boolean>;
  close(): Promise<void>;
}

/** Told of bytes of blocks that are not there any more. */
export type Dropped = (objectPath: string, bytes: number) => void;

/** The folder of an object's blocks. @param staging the folder of all */
export function folderOfBlocks(staging: string, objectPath: string): string {
  return path.join(staging, createHash('sha256').update(objectPath).digest('hex').slice(0, 32));
}
