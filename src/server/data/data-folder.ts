/**
 * The folder that holds everything a hub knows. `hub.json` is its one place for facts that never change (format, name,
 * partitions); it is written first, and a folder without it that is not empty is not ours to write into.
 *
 * One hub at a time: the lock is a SQLite file with an exclusive transaction open for as long as the hub lives. That is a
 * lock of the operating system, so it ends with the process, also by `kill -9`, and no stale file can keep a hub
 * out, as a file with a process id could. (The id stands beside it for the message only.) Where the lock file is missing, Linux
 * is asked whether a process still has the deleted one open.
 */
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { z } from 'zod';
import { limits } from '../../base/limits.ts';
import { syncFolder } from '../../stores/embedded/sync-folder.ts';
import { hubFileText, lostMessage, lostParts, PartsKeeper, partsSchema } from './data-parts.ts';
import { holderOfDeleted } from './deleted-file.ts';
import { giveUpReserve, saysFull } from './disk-reserve.ts';

/** Version of the whole folder's layout. A hub opens its own and older ones, never a newer one. */
export const DATA_FORMAT = 1;

const factsSchema = z.object({
  format: z.number().int().min(1),
  // As the setting takes it: it is part of paths.
  hubName: z.string().regex(/^[A-Za-z0-9-]{1,50}$/),
  partitions: z.number().int().min(1).max(limits.partitionsMax),
  /** UTC milliseconds. */
  createdTime: z.number().int(),
  /** What must be there; absent in a folder from before it was kept. */
  parts: partsSchema.optional(),
});

/** What the first start fixes. */
export type HubFacts = Readonly<z.infer<typeof factsSchema>>;

export interface DataFolder {
  readonly path: string;
  readonly facts: HubFacts;
  /** True when this start made the hub. */
  readonly fresh: boolean;
  /** Room that the reserve (`disk-reserve.ts`) has given up for this start. */
  readonly gaveUpBytes: number;
  /** What must be there, and what is added to that. */
  readonly parts: PartsKeeper;
  /** Where the rooms keep their files. */
  file(...names: readonly string[]): string;
  /** Lets another hub in. Last step of a stop. */
  release(): void;
}

/** A folder that this hub cannot use; the message says why and what to do. */
export class DataFolderError extends Error {
  override readonly name = 'DataFolderError';
}

/**
 * Opens or makes the folder and locks it.
 * @param fresh facts for a new hub; `named` ones were asked for by name and must agree with those of an old hub
 * @throws DataFolderError
 */
export function openDataFolder(
  folder: string,
  fresh: { readonly hubName: string; readonly partitions: number; readonly createdTime: number },
  named: { readonly hubName: boolean; readonly partitions: boolean },
): DataFolder {
  const at = path.resolve(folder);
  // Before anything is written.
  const gaveUpBytes = giveUpReserve(at);
  makeFolder(at);
  refuseForeignFolder(at);
  const unlock = lock(at);
  try {
    const stored = readFacts(at);
    if (stored !== undefined) refuseOtherFacts(at, stored, fresh, named);
    const facts = stored ?? writeFacts(at, { format: DATA_FORMAT, ...fresh });
    refuseLostParts(at, facts);
    return {
      path: at,
      facts,
      fresh: stored === undefined,
      gaveUpBytes,
      parts: keeperOf(at, facts),
      file: (...names) => path.join(at, ...names),
      release: unlock,
    };
  } catch (error) {
    unlock();
    throw error;
  }
}

/**
 * Locks the folder of a hub that is not running, for work on its files.
 * @returns lets hubs in again
 * @throws DataFolderError when there is no hub's folder, or a hub holds it
 */
export function lockDataFolder(folder: string): () => void {
  const at = path.resolve(folder);
  const isOurs = existsSync(path.join(at, 'hub.json')) || existsSync(path.join(at, 'events'));
  if (!isOurs) throw new DataFolderError(`${at} holds no hub. Name the folder with --data-dir.`);
  return lock(at);
}

/** What `hub.json` says; undefined when it is missing or damaged. A newer format is answered with its number alone. */
export function readDataFacts(folder: string): HubFacts | undefined {
  const file = path.join(folder, 'hub.json');
  return existsSync(file) ? parseFacts(readFileSync(file, 'utf8')) : undefined;
}

/** Makes what was written to a file durable. */
export function syncFile(file: string): void {
  const handle = openSync(file, 'r+');
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}

/** Replaces a file so that a crash leaves the old or the new one, and that only this user can read it. */
export function writeFileDurably(file: string, content: string): void {
  const draft = `${file}.new`;
  const handle = openSync(draft, 'w', 0o600);
  try {
    writeFileSync(handle, content);
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
  renameSync(draft, file);
  syncFolder(path.dirname(file));
}

/**
 * A hub that were started with another `storage` than it was made with would be an empty one of the same name.
 * @throws DataFolderError
 */
export function refuseOtherStorage(at: string, { parts }: HubFacts, storage: 'embedded' | 'cluster'): void {
  const isCluster = parts?.storage === 'cluster';
  const isEmbedded = parts?.tables !== undefined;
  if (storage === 'cluster' ? !isEmbedded : !isCluster) return;
  const [has, other] = isCluster ? ['cluster', 'embedded'] : ['embedded', 'cluster'];
  throw new DataFolderError(
    `The hub of the data folder ${at} has storage ${has}, and is started with storage ${storage}, where it would have nothing. ` +
      `Start it with --storage ${has}, or take it along into a new folder: mooring data export NEW --storage ${other} --data-dir ${at}`,
  );
}

function makeFolder(at: string): void {
  try {
    const made = mkdirSync(at, { recursive: true, mode: 0o700 });
    if (made !== undefined) syncFolder(path.dirname(made));
    const probe = path.join(at, `.probe-${process.pid}`);
    writeFileSync(probe, '');
    rmSync(probe);
  } catch (error) {
    throw new DataFolderError(
      `The data folder ${at} cannot be written (${(error as Error).message}). ` +
        'Give this user the right to write there, or choose another folder with --data-dir.',
      { cause: error },
    );
  }
}

/** What a first start that was killed early may have left. */
const beginnings = /^(reserve|lock|lock\.pid|lock-journal|hub\.json\.new|\.probe-\d+|lost\+found)$/;

function refuseForeignFolder(at: string): void {
  if (existsSync(path.join(at, 'hub.json'))) return;
  const foreign = readdirSync(at).find((name) => !beginnings.test(name));
  if (foreign === undefined) return;
  throw new DataFolderError(
    `The folder ${at} holds no hub, but other files (${foreign} …). Choose an empty or a new folder with --data-dir.`,
  );
}

function lock(at: string): () => void {
  const pidFile = path.join(at, 'lock.pid');
  refuseUnlinkedLock(at);
  const database = new DatabaseSync(path.join(at, 'lock'));
  try {
    // A journal on the disk would need room before the start could make some; nothing is ever written to this file.
    database.exec('pragma journal_mode = memory');
    database.exec('BEGIN EXCLUSIVE');
  } catch (error) {
    database.close();
    // SQLITE_BUSY is 5; anything else is a fault of the disk, not another hub.
    if ((error as { errcode?: number }).errcode !== 5) {
      throw new DataFolderError(
        `The data folder ${at} cannot be locked (${(error as Error).message}). Check its disk.`,
        {
          cause: error,
        },
      );
    }
    throw new DataFolderError(
      `The data folder ${at} is held by another hub${holder(pidFile)}. Stop that one, or choose another folder with --data-dir.`,
    );
  }
  try {
    writeFileSync(pidFile, `${process.pid}\n`, { mode: 0o600 });
  } catch (error) {
    // It stands there for a message only: a full disk must not keep the hub from making room.
    if (!saysFull(error)) {
      database.close();
      throw error;
    }
  }
  return () => {
    rmSync(pidFile, { force: true });
    if (database.isOpen) database.close();
  };
}

/** A lock file that was deleted still locks for who has it open, but a new one of its name would let a second hub in. */
function refuseUnlinkedLock(at: string): void {
  const file = path.join(at, 'lock');
  if (existsSync(file)) return;
  const pid = holderOfDeleted(file);
  if (pid === undefined) return;
  throw new DataFolderError(
    `The data folder ${at} is held by another hub (process ${pid}), whose lock file was deleted. Stop that one, or choose ` +
      'another folder with --data-dir.',
  );
}

function holder(pidFile: string): string {
  try {
    return ` (process ${Number(readFileSync(pidFile, 'utf8'))})`;
  } catch {
    return '';
  }
}

function readFacts(at: string): HubFacts | undefined {
  const file = path.join(at, 'hub.json');
  if (!existsSync(file)) return undefined;
  // An earlier run may have put it in place without being able to sync the name.
  syncFolder(at);
  const facts = parseFacts(readFileSync(file, 'utf8'));
  if (facts === undefined) {
    throw new DataFolderError(
      `${file} is damaged. Restore it from a copy of the folder; it holds {"format", "hubName", "partitions", "createdTime"}.`,
    );
  }
  if (facts.format > DATA_FORMAT) {
    throw new DataFolderError(
      `The data folder ${at} has format ${facts.format}; this version of Mooring knows formats up to ${DATA_FORMAT}. ` +
        'Run the newer version that wrote it, or choose another folder with --data-dir. Nothing was changed.',
    );
  }
  return facts;
}

function parseFacts(text: string): HubFacts | undefined {
  try {
    const content: unknown = JSON.parse(text);
    // A newer format may have other keys: its number alone is enough to refuse it with the right words.
    const newer = z.object({ format: z.number().gt(DATA_FORMAT) }).safeParse(content);
    if (newer.success) return { hubName: '', partitions: 1, createdTime: 0, ...newer.data };
    return factsSchema.safeParse(content).data;
  } catch {
    return undefined;
  }
}

function keeperOf(at: string, { parts, ...rest }: HubFacts): PartsKeeper {
  return new PartsKeeper(path.join(at, 'hub.json'), rest, parts);
}

/** What can be seen before anything is opened, and so before anything is made in its place. */
function refuseLostParts(at: string, { parts }: HubFacts): void {
  const lost = lostParts(at, parts);
  if (lost.length > 0) throw new DataFolderError(lostMessage(at, lost));
}

export function writeFacts(at: string, facts: HubFacts): HubFacts {
  const { parts, ...rest } = facts;
  writeFileDurably(path.join(at, 'hub.json'), hubFileText(rest, parts));
  return facts;
}

function refuseOtherFacts(
  at: string,
  stored: HubFacts,
  asked: { readonly hubName: string; readonly partitions: number },
  named: { readonly hubName: boolean; readonly partitions: boolean },
): void {
  for (const name of ['hubName', 'partitions'] as const) {
    if (!named[name] || stored[name] === asked[name]) continue;
    throw new DataFolderError(
      `${name} is ${stored[name]} in the data folder ${at} and cannot become ${asked[name]}. ` +
        `Leave the setting out, or begin a new hub in another folder with --data-dir.`,
    );
  }
}
