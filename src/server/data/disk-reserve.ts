/**
 * Room on the data folder's disk that is kept for the start: a full disk must not keep the hub from starting, for then nobody could
 * read what is there, nor shorten what is kept. The file is given up before anything is written, and made again from what the
 * start has left of it, so that the room is there the next time.
 */
import { closeSync, fsyncSync, openSync, rmSync, statfsSync, statSync, writeSync } from 'node:fs';
import path from 'node:path';
import { limits } from '../../base/limits.ts';

const NAME = 'reserve';
const CHUNK = Buffer.alloc(64 * 1024, 'reserve ');

/** Gives the reserve up where there is less room than it holds. @returns whether the disk is short of room */
export function giveUpReserve(folder: string): boolean {
  try {
    if (freeBytes(folder) >= limits.diskReserveBytes) return false;
    rmSync(path.join(folder, NAME), { force: true });
    return true;
  } catch {
    // No folder yet, or a system that does not tell: then the start shows whether it can be written.
    return false;
  }
}

/** Makes the reserve, as much of it as there is room for. Nothing fails for it. */
export function makeReserve(folder: string): void {
  const file = path.join(folder, NAME);
  const has = statSync(file, { throwIfNoEntry: false })?.size ?? 0;
  if (has >= limits.diskReserveBytes) return;
  try {
    // Real bytes: a hole would take no room.
    const handle = openSync(file, 'a', 0o600);
    try {
      const room = Math.min(limits.diskReserveBytes - has, freeBytes(folder));
      for (let left = room; left > 0; left -= CHUNK.length) {
        writeSync(handle, CHUNK, 0, Math.min(left, CHUNK.length));
      }
      fsyncSync(handle);
    } finally {
      closeSync(handle);
    }
  } catch {
    // What could be written is kept: the next start tries again.
  }
}

/** What to do about a start that failed for want of room; undefined = it failed for another reason. */
export function fullDiskAdvice(error: unknown, folder: string): string | undefined {
  if (!saysFull(error) && !isFull(folder)) return undefined;
  const megabytes = Math.ceil(limits.diskReserveBytes / 2 ** 20);
  return (
    `The disk of the data folder ${folder} is full. Free at least ${megabytes} MiB on it and start again. To let the hub make ` +
    'room by itself, keep fewer events: --retention-bytes or --retention-days. Remove no file of the data folder by hand.'
  );
}

/** The system, or SQLite (13 is SQLITE_FULL), anywhere in the chain of causes. */
function saysFull(error: unknown): boolean {
  for (let at = error, depth = 0; at instanceof Error && depth < 8; at = at.cause, depth++) {
    const { code, errcode } = at as { code?: string; errcode?: number };
    if (code === 'ENOSPC' || code === 'EDQUOT' || errcode === 13) return true;
  }
  return false;
}

/** Some parts say only that they cannot store anything. */
function isFull(folder: string): boolean {
  try {
    return freeBytes(folder) < CHUNK.length;
  } catch {
    return false;
  }
}

function freeBytes(folder: string): number {
  const { bavail, bsize } = statfsSync(folder);
  return bavail * bsize;
}
