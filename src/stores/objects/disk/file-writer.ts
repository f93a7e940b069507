/**
 * Writes a stream into a file and makes it durable as it comes: one long sync at the end would make the journal's own
 * syncs, on the same disk, wait behind gigabytes.
 */
import type { FileHandle } from 'node:fs/promises';
import { limits } from '../../../base/limits.ts';
import type { ByteSource } from '../../../core/files/object-store.ts';
import { diskError } from './disk-error.ts';
import type { DiskPlace } from './disk-room.ts';
import type { DiskTurns } from './disk-turns.ts';

/**
 * Writes `source` from `position` on, and returns when all of it is durable; the number of bytes.
 * @param place where they were let in @throws ObjectError
 */
export async function writeDurably(
  handle: FileHandle,
  source: ByteSource,
  position: number,
  { turns, place }: { readonly turns: DiskTurns; readonly place: DiskPlace },
): Promise<number> {
  let at = position;
  let unsynced = 0;
  // The pieces that come are small and many: gathered here they are garbage at once, and one write takes them all.
  const gathered = turns.pieces.take(limits.filePieceBytes);
  let filled = 0;

  const flush = async (): Promise<void> => {
    if (filled === 0) return;
    await place.writes(filled);
    await turns.run(() => writeAll(handle, gathered.subarray(0, filled), at));
    at += filled;
    unsynced += filled;
    await place.wrote(filled);
    filled = 0;
    if (unsynced >= limits.fileSyncBytes) {
      await turns.run(() => handle.datasync());
      unsynced = 0;
    }
  };

  try {
    for await (const piece of source) {
      for (let taken = 0; taken < piece.length; ) {
        const part = piece.subarray(taken, taken + gathered.length - filled);
        gathered.set(part, filled);
        filled += part.length;
        taken += part.length;
        if (filled === gathered.length) await flush();
      }
    }
    await flush();
    await turns.run(() => handle.datasync());
  } catch (error) {
    throw diskError(error);
  } finally {
    turns.pieces.giveBack(gathered);
  }
  return at - position;
}

async function writeAll(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  // More than one round is rare: what a full disk, or a signal, has left over.
  for (let written = 0; written < bytes.length; ) {
    const { bytesWritten } = await handle.write(bytes, written, bytes.length - written, position + written);
    written += bytesWritten;
  }
}
