/**
 * Writes a stream into a file and makes it durable as it comes: one long sync at the end would make the journal's own
 * syncs, on the same disk, wait behind gigabytes.
 */
import { type FileHandle, statfs } from 'node:fs/promises';
import { limits } from '../../../base/limits.ts';
import { type ByteSource, ObjectError } from '../../../core/files/object-store.ts';
import type { DiskTurns } from './disk-turns.ts';

/** Refuses before the disk is full: the event log needs the rest. @throws ObjectError full */
export async function admit(folder: string, bytes: number): Promise<void> {
  const { bavail, blocks, bsize } = await statfs(folder);
  if (bavail * bsize - bytes < blocks * bsize * limits.filesDiskReserveShare)
    throw new ObjectError('full', 'little room is left');
}

/** Writes `source` from `position` on, and returns when all of it is durable; the number of bytes. @throws ObjectError */
export async function writeDurably(
  handle: FileHandle,
  source: ByteSource,
  position: number,
  turns: DiskTurns,
): Promise<number> {
  let at = position;
  let unsynced = 0;
  const pending: Uint8Array[] = [];
  let pendingBytes = 0;

  const flush = async (): Promise<void> => {
    if (pendingBytes === 0) return;
    const pieces = pending.splice(0);
    const bytes = pendingBytes;
    pendingBytes = 0;
    await turns.run(() => writeAll(handle, pieces, bytes, at));
    at += bytes;
    unsynced += bytes;
    if (unsynced >= limits.fileSyncBytes) {
      await turns.run(() => handle.datasync());
      unsynced = 0;
    }
  };

  try {
    for await (const chunk of source) {
      pending.push(chunk);
      pendingBytes += chunk.length;
      if (pendingBytes >= limits.fileWriteBytes) await flush();
    }
    await flush();
    await turns.run(() => handle.datasync());
  } catch (error) {
    throw diskError(error);
  }
  return at - position;
}

async function writeAll(handle: FileHandle, pieces: Uint8Array[], bytes: number, position: number): Promise<void> {
  let { bytesWritten } = await handle.writev(pieces, position);
  if (bytesWritten === bytes) return;
  // Rare: what a full disk, or a signal, has left over.
  const rest = Buffer.concat(pieces);
  while (bytesWritten < bytes) {
    const more = await handle.write(rest, bytesWritten, bytes - bytesWritten, position + bytesWritten);
    bytesWritten += more.bytesWritten;
  }
}

/** What a failure of the disk means for who asked. */
export function diskError(error: unknown): ObjectError {
  if (error instanceof ObjectError) return error;
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  const isFull = code === 'ENOSPC' || code === 'EDQUOT' || code === 'EFBIG';
  return new ObjectError(isFull ? 'full' : 'unavailable', `the folder of files: ${code ?? 'failed'}`, error);
}
