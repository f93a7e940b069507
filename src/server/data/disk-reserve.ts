/**
 * Room on the data folder's disk that is kept for the start: a full disk must not keep the hub from starting, for then nobody could
 * read what is there, nor shorten what is kept. The file is given up before anything is written, and made again from what the
 * start has left of it, and later whenever there is room, so that it is there the next time.
 */
import { readdirSync, rmSync, statfsSync, statSync } from 'node:fs';
import { open, stat, statfs } from 'node:fs/promises';
import path from 'node:path';
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';

const NAME = 'reserve';
const CHUNK = Buffer.alloc(64 * 1024, 'reserve ');

/** Gives the reserve up where there is less room than it holds. @returns how many bytes it gave back */
export function giveUpReserve(folder: string): number {
  try {
    if (freeBytes(folder) >= limits.diskReserveBytes) return 0;
    const file = path.join(folder, NAME);
    const had = statSync(file, { throwIfNoEntry: false })?.size ?? 0;
    rmSync(file, { force: true });
    return had;
  } catch {
    // No folder yet, or a system that does not tell: then the start shows whether it can be written.
    return 0;
  }
}

export interface DiskReserve {
  /** How much of it there is. */
  readonly bytes: number;
  /** Makes it larger if that is needed and there is room; the hub does so by itself. Nothing fails for it. */
  refill(): Promise<void>;
  /** Resolves when nothing is written any more. */
  close(): Promise<void>;
}

/**
 * Makes the reserve, and looks after it from now on.
 * @param gaveUpBytes of this start: they are taken back first. Beyond them at least as much is left to others as is taken.
 */
export async function keepReserve(folder: string, gaveUpBytes: number, clock: Clock): Promise<DiskReserve> {
  const file = path.join(folder, NAME);
  let bytes = 0;
  let working: Promise<void> = Promise.resolve();
  let cancel = (): void => {};
  const refill = (owed: number): Promise<void> => {
    working = working.then(async () => {
      bytes = await filled(file, owed);
    });
    return working;
  };
  const arm = (): void => {
    cancel = clock.after(limits.diskReserveLookMs, () => {
      arm();
      void refill(0);
    });
  };
  await refill(gaveUpBytes);
  arm();
  return {
    get bytes() {
      return bytes;
    },
    refill: () => refill(0),
    async close() {
      cancel();
      await working;
    },
  };
}

/** @returns the reserve's bytes now. */
async function filled(file: string, owed: number): Promise<number> {
  const has = await sizeOf(file);
  const missing = limits.diskReserveBytes - has;
  if (missing <= 0) return has;
  try {
    const { bavail, bsize } = await statfs(path.dirname(file));
    const free = bavail * bsize;
    const back = Math.min(free, owed, missing);
    const room = Math.min(missing, back + (free - back) / 2);
    if (room < CHUNK.length && room < missing) return has;
    // Real bytes: a hole would take no room.
    const handle = await open(file, 'a', 0o600);
    try {
      for (let left = Math.floor(room); left > 0; left -= CHUNK.length) {
        await handle.write(CHUNK, 0, Math.min(left, CHUNK.length));
      }
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch {
    // What could be written is kept: it is tried again.
  }
  return sizeOf(file);
}

const sizeOf = (file: string): Promise<number> =>
  stat(file).then(
    ({ size }) => size,
    () => 0,
  );

/** What to do about a start that failed for want of room; undefined = it failed for another reason. */
export function fullDiskAdvice(error: unknown, folder: string): string | undefined {
  if (!saysFull(error) && !isFull(folder)) return undefined;
  const megabytes = Math.ceil(limits.diskReserveBytes / 2 ** 20);
  return (
    `The disk of the data folder ${folder} is full. Free at least ${megabytes} MiB on it and start again. To let the hub make ` +
    `room by itself, keep fewer events: --retention-bytes or --retention-days (${eventsText(folder)}). Remove no file of the ` +
    'data folder by hand.'
  );
}

/** What there is to make room from, so that it can be seen which bound helps. */
function eventsText(folder: string): string {
  const events = path.join(folder, 'events');
  try {
    const sizes = readdirSync(events).map((name) => {
      const bytes = readdirSync(path.join(events, name))
        .map((file) => statSync(path.join(events, name, file)).size)
        .reduce((sum, size) => sum + size, 0);
      return `${name} takes ${(bytes / 2 ** 20).toFixed(1)} MiB`;
    });
    return sizes.length === 0 ? 'there are none' : sizes.join(', ');
  } catch {
    return 'their folder cannot be read';
  }
}

/** The system, or SQLite (13 is SQLITE_FULL), anywhere in the chain of causes. */
export function saysFull(error: unknown): boolean {
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
