import { constants } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import { limits } from '../../../base/limits.ts';
import type { DiskTurns } from './disk-turns.ts';

/**
 * Removes a file that nobody reads, a piece at a time: while a file system frees gigabytes at once, the journal's own syncs
 * wait (2 GiB on ext4: 50 ms each; in these pieces: 8 ms). What cannot be shortened is removed all the same.
 */
export async function discard(file: string, turns: DiskTurns): Promise<void> {
  // A link is removed itself: what it leads to is not the store's.
  const handle = await open(file, constants.O_RDWR | constants.O_NOFOLLOW | constants.O_NONBLOCK).catch(
    () => undefined,
  );
  try {
    let bytes = (await handle?.stat())?.size ?? 0;
    while (bytes > limits.fileDiscardBytes) {
      bytes -= limits.fileDiscardBytes;
      await turns.run(async () => handle?.truncate(bytes));
    }
  } catch {
    // Removed below.
  } finally {
    await handle?.close();
  }
  await rm(file, { force: true });
}
