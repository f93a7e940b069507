/**
 * Files in a folder of the hub's own: each object is one plain file that an operator finds by device.
 *
 *     <device>/<name>            the object's bytes, nothing else
 *     <device>/.facts/<name>     content type, MD5, the whole path (`facts.ts`)
 *     .staging/…                 what is not an object yet (`staged-blocks.ts`; where processes share the folder: `own-blocks.ts`)
 *
 * An object gets its name by a rename, when it is whole and durable: a crash leaves all of it or nothing.
 */
import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import {
  access,
  type FileHandle,
  lstat,
  mkdir,
  open,
  readdir,
  rename,
  rm,
  stat,
  statfs,
  utimes,
} from 'node:fs/promises';
import path from 'node:path';
import type { Clock } from '../../../base/clock.ts';
import { limits } from '../../../base/limits.ts';
import {
  type CommitOptions,
  type Condition,
  checkCondition,
  type ListedObject,
  ObjectError,
  type ObjectFacts,
  type ObjectStore,
  type OpenObject,
} from '../../../core/files/object-store.ts';
import { checkedSource } from '../checked-source.ts';
import { sumOfList } from '../disk/block-list.ts';
import { discard } from '../disk/discard.ts';
import { diskError } from '../disk/disk-error.ts';
import { DiskTurns } from '../disk/disk-turns.ts';
import { writeDurably } from '../disk/file-writer.ts';
import { openUnfinished } from '../disk/open-unfinished.ts';
import { readRegion } from '../disk/read-region.ts';
import { syncFile } from '../disk/sync-file.ts';
import { STAGING_FOLDER } from '../disk/unfinished.ts';
import { everySoOften } from '../every-so-often.ts';
import { PathLocks } from '../path-locks.ts';
import { UsageCounts } from '../usage.ts';
import { FACTS_FOLDER, factsOf, isOf, readFacts, writeFacts } from './facts.ts';
import { decodedName, fileNameOf, folderNameOf } from './file-names.ts';
import { absent, doesFoldCase, filesIn, READ_FLAGS } from './file-system.ts';
import { OldFiles, type ReplacedFiles, removedFiles } from './old-files.ts';

export interface FolderStoreParts {
  /** Made where it is missing. */
  readonly folder: string;
  readonly clock: Clock;
  /** Other processes may use it at the same time. Default: false. */
  readonly isShared?: boolean;
}

/** @throws Error whose message says what to do, when the folder cannot be used. */
export async function openFolderStore({ folder, clock, isShared = false }: FolderStoreParts): Promise<ObjectStore> {
  await mkdir(path.join(folder, STAGING_FOLDER), { recursive: true, mode: 0o700 });
  const foldsCase = await doesFoldCase(folder);
  const turns = new DiskTurns(folder);
  const usage = new UsageCounts({
    groupOf: (objectPath) => folderNameOf(objectPath.split('/')[0], foldsCase),
    entries: () => filesIn(folder),
  });
  const locks = new PathLocks();
  const staging = await openUnfinished({ folder: path.join(folder, STAGING_FOLDER), turns, locks, usage, isShared });
  const oldFiles: ReplacedFiles = isShared ? removedFiles : new OldFiles(path.join(folder, STAGING_FOLDER), turns);

  const recountInTime = everySoOften(clock, limits.fileUsageCountMs, () => usage.recount(staging.all()));
  const placesOf = (objectPath: string) => {
    const name = fileNameOf(objectPath, foldsCase);
    const parent = path.join(folder, name.folder);
    return { parent, file: path.join(parent, name.file), facts: path.join(parent, FACTS_FOLDER, name.file) };
  };

  async function head(objectPath: string): Promise<ObjectFacts | undefined> {
    const { file, facts } = placesOf(objectPath);
    const found = await lstat(file, { bigint: true }).catch(absent);
    return found?.isFile() ? factsOf(found, await readFacts(facts)) : undefined;
  }

  /** The object, where it was made of the list with that sum. */
  async function madeOf(objectPath: string, list: string): Promise<ObjectFacts | undefined> {
    const facts = await head(objectPath);
    const known = await readFacts(placesOf(objectPath).facts);
    return facts !== undefined && isOf(known, facts) && known.list === list ? facts : undefined;
  }

  /** Gives a whole, durable file the object's name. The caller holds the path's lock. */
  async function publish(
    objectPath: string,
    finished: string,
    options: Pick<CommitOptions, 'condition' | 'contentType' | 'md5'> & { readonly list?: string | undefined },
  ) {
    const { parent, file, facts } = placesOf(objectPath);
    const current = await head(objectPath);
    checkCondition(options.condition, current);
    // The ETag is made of it.
    const lastModified = Math.max(Math.floor(clock.now()), (current?.lastModified ?? 0) + 1);
    // In the middle of the millisecond: seconds with a fraction are not exact.
    const seconds = (lastModified + 0.5) / 1000;
    await utimes(finished, seconds, seconds);
    await syncFile(finished);
    if ((await mkdir(path.join(parent, FACTS_FOLDER), { recursive: true, mode: 0o700 })) !== undefined)
      await syncFile(folder);
    const bytes = (await stat(finished)).size;
    const { contentType, md5, list } = options;
    const sums = { ...(md5 !== undefined && { md5 }), ...(list !== undefined && { list }) };
    const stored = { path: objectPath, bytes, lastModified, contentType, ...sums };
    const factsOnTheWay = path.join(folder, STAGING_FOLDER, `facts-${randomUUID()}`);
    try {
      await writeFacts(factsOnTheWay, stored);
      await rename(factsOnTheWay, facts);
    } finally {
      await rm(factsOnTheWay, { force: true });
    }
    await oldFiles.lost(file, async () => {
      await rename(finished, file);
      await syncFile(parent);
    });
    usage.add(objectPath, bytes - (current?.bytes ?? 0), current === undefined ? 1 : 0);
    const written = await head(objectPath);
    if (written === undefined) throw new ObjectError('unavailable', 'an object was removed while it was stored');
    return written;
  }

  async function remove(objectPath: string, condition: Condition = {}): Promise<boolean> {
    const { parent, file, facts } = placesOf(objectPath);
    const found = await head(objectPath);
    if (found === undefined) return false;
    checkCondition(condition, found);
    await oldFiles.lost(file, async () => {
      await rm(file, { force: true });
      await rm(facts, { force: true });
      await syncFile(parent);
    });
    usage.add(objectPath, -found.bytes, -1);
    return true;
  }

  async function* objectsOf(name: string): AsyncGenerator<ListedObject> {
    const device = decodedName(name);
    for (const entry of await readdir(path.join(folder, name), { withFileTypes: true }).catch(() => [])) {
      if (!entry.isFile()) continue;
      const known = await readFacts(path.join(folder, name, FACTS_FOLDER, entry.name));
      const rest = decodedName(entry.name);
      const objectPath = device !== undefined && rest !== undefined ? `${device}/${rest}` : known?.path;
      const found = await stat(path.join(folder, name, entry.name), { bigint: true }).catch(absent);
      if (objectPath !== undefined && found !== undefined) yield { path: objectPath, ...factsOf(found, known) };
    }
  }

  async function matching(prefix: string): Promise<readonly ListedObject[]> {
    const slash = prefix.indexOf('/');
    const folders =
      slash === -1
        ? (await readdir(folder)).filter((name) => name !== STAGING_FOLDER)
        : [folderNameOf(prefix.slice(0, slash), foldsCase)];
    const found: ListedObject[] = [];
    for (const name of folders) {
      for await (const object of objectsOf(name)) if (object.path.startsWith(prefix)) found.push(object);
    }
    return found.sort((a, b) => (a.path < b.path ? -1 : 1));
  }

  return {
    kind: 'folder',

    put: (objectPath, source, options) =>
      guarded(async () => {
        checkCondition(options.condition, await head(objectPath));
        const checked = checkedSource(source, options);
        const file = path.join(folder, STAGING_FOLDER, `put-${randomUUID()}`);
        try {
          await writeFile(file, checked.source, options.bytes ?? 0, turns);
          return await locks.run(objectPath, async () => {
            const facts = await publish(objectPath, file, options);
            await staging.drop(objectPath);
            return facts;
          });
        } finally {
          await discard(file, turns);
        }
      }),

    stage: (objectPath, id, source, options) =>
      guarded(async () => {
        const checked = checkedSource(source, options);
        // Where a block lies beyond all that an object may hold, it is only put elsewhere.
        const offsetMax = options.bytesMax + (await staging.bytesOf(objectPath));
        const content = { source: checked.source, bytes: options.bytes, offsetMax };
        await locks.share(objectPath, () => staging.write(objectPath, id, content));
        usage.add(objectPath, options.bytes, 0);
        return { bytes: options.bytes };
      }),

    commit: (objectPath, ids, options) =>
      guarded(() =>
        locks.run(objectPath, async () => {
          const blocks = await staging.blocks(objectPath, ids);
          const copy = path.join(folder, STAGING_FOLDER, `put-${randomUUID()}`);
          const sum = sumOfList(ids, options.upload);
          try {
            // An answer may be lost: the list that comes again is the same one.
            const made = blocks.isOver && sum !== undefined ? await madeOf(objectPath, sum) : undefined;
            if (made !== undefined) return made;
            const list = await blocks.list(ids);
            if (list.bytes > options.bytesMax) throw new ObjectError('tooLarge');
            checkCondition(options.condition, await head(objectPath));
            const whole = await blocks.asObject(list);
            if (whole === undefined) await writeFile(copy, list.read(), list.bytes, turns);
            // A long copy is no younger than what another process has stored meanwhile.
            if (!(await blocks.areThere())) throw new ObjectError('unavailable', 'the upload was ended meanwhile');
            const facts = await publish(objectPath, whole ?? copy, { ...options, list: sum });
            await staging.drop(objectPath);
            return facts;
          } finally {
            await blocks.close();
            await discard(copy, turns);
          }
        }),
      ),

    stagedBytes: (objectPath) => staging.bytesOf(objectPath),
    head: (objectPath) => guarded(() => head(objectPath)),

    read: (objectPath, range) =>
      guarded(async (): Promise<OpenObject | undefined> => {
        const { file, facts } = placesOf(objectPath);
        const isRead = oldFiles.reads(file);
        let handle: FileHandle | undefined;
        const close = async (): Promise<void> => {
          await handle?.close();
          isRead();
        };
        try {
          handle = await open(file, READ_FLAGS).catch(absent);
          const stats = await handle?.stat({ bigint: true });
          if (handle !== undefined && stats?.isFile()) {
            const found = factsOf(stats, await readFacts(facts));
            const { start, end } = range ?? { start: 0, end: found.bytes - 1 };
            return { facts: found, body: closing(readRegion(handle, start, end - start + 1, turns), close) };
          }
        } catch (error) {
          await close();
          throw error;
        }
        await close();
        return undefined;
      }),

    delete: (objectPath, condition) => guarded(() => locks.run(objectPath, () => remove(objectPath, condition))),

    list: (prefix, { after, limit }) =>
      guarded(async () => {
        const found = await matching(prefix);
        return found.filter((object) => after === undefined || object.path > after).slice(0, limit);
      }),

    deleteAll: (prefix) =>
      guarded(async () => {
        const found = await matching(prefix);
        for (const object of found) await locks.run(object.path, () => remove(object.path));
        await staging.dropAll(prefix);
        return found.length;
      }),

    expire: (before) =>
      guarded(async () => {
        await staging.expire(before);
        if (isShared) await recountInTime();
      }),
    usage: (prefix) => guarded(() => usage.of(prefix)),
    async freeBytes() {
      const { bavail, bsize } = await statfs(folder);
      return bavail * bsize;
    },
    check: () =>
      guarded(() => access(path.join(folder, STAGING_FOLDER), constants.R_OK | constants.W_OK | constants.X_OK)),
    close: () => staging.close(),
  };
}

/** @param bytes as far as their number is known */
function writeFile(file: string, source: AsyncIterable<Uint8Array>, bytes: number, turns: DiskTurns): Promise<void> {
  return turns.room.holding(bytes, async (place) => {
    const handle = await open(file, 'wx', 0o600);
    try {
      await writeDurably(handle, source, 0, { turns, place });
    } finally {
      await handle.close();
    }
  });
}

async function* closing(body: AsyncGenerator<Uint8Array>, close: () => Promise<void>): AsyncGenerator<Uint8Array> {
  try {
    yield* body;
  } finally {
    await close();
  }
}

async function guarded<Result>(work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    throw diskError(error);
  }
}
