import type { FileHandle } from 'node:fs/promises';
import { limits } from '../../../base/limits.ts';
import { ObjectError } from '../../../core/files/object-store.ts';
import type { DiskTurns } from './disk-turns.ts';

/** The bytes of a part of a file. A piece is good until the next one is asked for, and that one is read meanwhile. */
export async function* readRegion(
  handle: FileHandle,
  offset: number,
  bytes: number,
  turns: DiskTurns,
): AsyncGenerator<Uint8Array> {
  const end = offset + bytes;
  const read = async (buffer: Buffer, at: number): Promise<Uint8Array> => {
    const wanted = Math.min(buffer.length, end - at);
    const { bytesRead } = await turns.run(() => handle.read(buffer, 0, wanted, at));
    if (bytesRead === 0 && wanted > 0) throw new ObjectError('unavailable', 'a file is shorter than it was');
    return buffer.subarray(0, bytesRead);
  };
  let [given, filling] = [turns.pieces.take(limits.filePieceBytes), turns.pieces.take(limits.filePieceBytes)];
  let next = read(given, offset);
  try {
    for (let at = offset; at < end; ) {
      const piece = await next;
      at += piece.length;
      [given, filling] = [filling, given];
      next = read(given, at);
      // A caller that stops now never asks for it.
      next.catch(() => {});
      yield piece;
    }
  } finally {
    await next.catch(() => {});
    turns.pieces.giveBack(given);
    turns.pieces.giveBack(filling);
  }
}
