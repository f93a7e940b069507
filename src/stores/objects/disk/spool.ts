/**
 * What is on its way to a store elsewhere, on the disk until that has it: a slow sender holds a file and no memory, what it
 * sends is checked before the store hears of it, and what has failed there is sent again without asking for it again.
 */
import { randomUUID } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import path from 'node:path';
import type { ByteSource, ContentOptions } from '../../../core/files/object-store.ts';
import { checkedSource } from '../checked-source.ts';
import { discard } from './discard.ts';
import { diskError } from './disk-error.ts';
import type { DiskPlace } from './disk-room.ts';
import type { DiskTurns } from './disk-turns.ts';
import { writeDurably } from './file-writer.ts';
import { readRegion } from './read-region.ts';

/** Content that can be read from any place, as often as is wanted. */
export interface Spooled {
  readonly bytes: number;
  read(offset: number, bytes: number): ByteSource;
}

/**
 * Takes the whole of `source`, lets `use` have it, and removes it.
 * @param folder what is left there after a crash is removed when staging is opened
 * @throws ObjectError where the content is not as `options` want it, or the disk has no room; and what `use` throws
 */
export async function spooling<Result>(
  folder: string,
  turns: DiskTurns,
  source: ByteSource,
  options: ContentOptions,
  use: (content: Spooled) => Promise<Result>,
): Promise<Result> {
  return turns.room.holding(options.bytes ?? 0, (place) => spooled({ folder, turns, place }, source, options, use));
}

async function spooled<Result>(
  { folder, turns, place }: { readonly folder: string; readonly turns: DiskTurns; readonly place: DiskPlace },
  source: ByteSource,
  options: ContentOptions,
  use: (content: Spooled) => Promise<Result>,
): Promise<Result> {
  const file = path.join(folder, `put-${randomUUID()}`);
  let handle: FileHandle | undefined;
  try {
    handle = await open(file, 'wx+', 0o600).catch((error) => {
      throw diskError(error);
    });
    const taken = handle;
    const bytes = await writeDurably(taken, checkedSource(source, options).source, 0, { turns, place });
    return await use({ bytes, read: (offset, count) => readRegion(taken, offset, count, turns) });
  } finally {
    await handle?.close();
    await discard(file, turns);
  }
}
