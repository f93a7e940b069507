/**
 * Objects as plain files in folders, as their paths say: for archives, which others read as files. Nothing but the bytes is kept.
 *
 *     <part>/<part>/<name>       the object's bytes
 *     .staging/<writer>/…        what is not an object yet
 *
 * An object gets its name by a rename, when it is whole and durable.
 */
import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { access, lstat, mkdir, open, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { checkCondition, ObjectError, type ObjectFacts, type ObjectStore } from '../../../core/files/object-store.ts';
import { checkedSource } from '../checked-source.ts';
import { discard } from '../disk/discard.ts';
import { diskError } from '../disk/disk-error.ts';
import { DiskTurns } from '../disk/disk-turns.ts';
import { writeDurably } from '../disk/file-writer.ts';
import { readRegion } from '../disk/read-region.ts';
import { syncFile } from '../disk/sync-file.ts';
import { STAGING_FOLDER } from '../disk/unfinished.ts';
import { absent, READ_FLAGS } from '../folder/file-system.ts';

export type TreeStore = Pick<ObjectStore, 'kind' | 'put' | 'head' | 'read' | 'check' | 'close'>;

const CONTENT_TYPE = 'application/octet-stream';

/**
 * @param folder made where it is missing
 * @param writer of whom there is one at a time: what a crash of it has left on the way to the folder is removed
 * @throws Error
 */
export async function openTreeStore(folder: string, writer: string): Promise<TreeStore> {
  const staging = path.join(folder, STAGING_FOLDER, writer);
  await rm(staging, { recursive: true, force: true });
  await mkdir(staging, { recursive: true, mode: 0o700 });
  const turns = new DiskTurns(folder);

  const placeOf = (objectPath: string): string => {
    const parts = objectPath.split('/');
    if (parts.some((part) => part === '' || part.startsWith('.') || part.includes('\0') || part.includes('\\'))) {
      throw new ObjectError('denied', `'${objectPath}' is no path of a file`);
    }
    return path.join(folder, ...parts);
  };

  async function head(objectPath: string): Promise<ObjectFacts | undefined> {
    const found = await lstat(placeOf(objectPath)).catch(absent);
    return found?.isFile() ? factsOf(found) : undefined;
  }

  /** Makes the folders above a file, each durably in the one above it. */
  async function makeFolders(parent: string): Promise<void> {
    const first = await mkdir(parent, { recursive: true, mode: 0o755 });
    if (first === undefined) return;
    for (let at = parent; at.length >= first.length; at = path.dirname(at)) await syncFile(path.dirname(at));
  }

  return {
    kind: 'folder',
    head: (objectPath) => guarded(() => head(objectPath)),
    put: (objectPath, source, options) =>
      guarded(async () => {
        const place = placeOf(objectPath);
        checkCondition(options.condition, await head(objectPath));
        const file = path.join(staging, `put-${randomUUID()}`);
        try {
          const checked = checkedSource(source, options);
          await turns.room.holding(options.bytes ?? 0, async (room) => {
            const handle = await open(file, 'wx', 0o644);
            try {
              await writeDurably(handle, checked.source, 0, { turns, place: room });
            } finally {
              await handle.close();
            }
          });
          await makeFolders(path.dirname(place));
          await rename(file, place);
          await syncFile(path.dirname(place));
        } finally {
          await discard(file, turns);
        }
        const stored = await head(objectPath);
        if (stored === undefined) throw new ObjectError('unavailable', 'an object was removed while it was stored');
        return stored;
      }),
    read: (objectPath, range) =>
      guarded(async () => {
        const handle = await open(placeOf(objectPath), READ_FLAGS).catch(absent);
        if (handle === undefined) return undefined;
        const stats = await handle.stat();
        if (!stats.isFile()) {
          await handle.close();
          return undefined;
        }
        const { start, end } = range ?? { start: 0, end: stats.size - 1 };
        async function* body(from: NonNullable<typeof handle>): AsyncGenerator<Uint8Array> {
          try {
            yield* readRegion(from, start, end - start + 1, turns);
          } finally {
            await from.close();
          }
        }
        return { facts: factsOf(stats), body: body(handle) };
      }),
    check: () => guarded(() => access(staging, constants.R_OK | constants.W_OK | constants.X_OK)),
    close: async () => {},
  };
}

function factsOf({ size, mtimeMs }: { readonly size: number; readonly mtimeMs: number }): ObjectFacts {
  const lastModified = Math.floor(mtimeMs);
  return {
    bytes: size,
    lastModified,
    etag: `0x${lastModified.toString(16)}-${size.toString(16)}`,
    contentType: CONTENT_TYPE,
  };
}

async function guarded<Result>(work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    throw diskError(error);
  }
}
