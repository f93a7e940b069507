/**
 * `mooring data backup`: a consistent copy of a data folder, whether its hub runs or not. It works beside the hub, as a process
 * of its own, and takes no lock that the hub would wait for.
 *
 *     DIR/data/…         a data folder that `mooring data restore` puts in place
 *     DIR/backup.json    what is in it, with sums; written last, so a copy without it is not finished
 *
 * Everything that was acknowledged before the backup began is in it. The tables come first and the event logs after them:
 * what the tables still hold to be written into a log may then be in both, and is never in neither.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { type FileHandle, open, rm, stat, truncate } from 'node:fs/promises';
import path from 'node:path';
import { backup, DatabaseSync } from 'node:sqlite';
import { z } from 'zod';
import { limits } from '../../base/limits.ts';
import { checkEventLog } from '../../stores/embedded/event-log/check.ts';
import { positionsOf } from '../../stores/embedded/event-log/segment.ts';
import { syncFolder } from '../../stores/embedded/sync-folder.ts';
import { eventLogNames } from './data-check.ts';
import { DataFolderError, type HubFacts, readDataFacts, writeFacts, writeFileDurably } from './data-folder.ts';

export const BACKUP_FORMAT = 1;
const MANIFEST = 'backup.json';

const manifestSchema = z.object({
  format: z.number().int(),
  hubName: z.string(),
  /** UTC milliseconds. */
  begunTime: z.number(),
  endedTime: z.number(),
  /** Whether the keys of the tables and the hub's certificates are in it. */
  withKeys: z.boolean(),
  withFiles: z.boolean(),
  /** By name below `data`. */
  files: z.record(z.string(), z.object({ bytes: z.number(), sha256: z.string() })),
});
export type BackupManifest = Readonly<z.infer<typeof manifestSchema>>;

export interface BackupWish {
  readonly folder: string;
  /** Made; must be empty where it is there. */
  readonly target: string;
  readonly withKeys: boolean;
  /** Files of devices, which may be many times the rest. */
  readonly withFiles: boolean;
  now(): number;
  progress(done: BackupProgress): void;
}

export interface BackupProgress {
  readonly file: string;
  /** Copied so far, of all files. */
  readonly bytes: number;
}

/** @throws DataFolderError, and the system's error when something cannot be read or written */
export async function backUpData(wish: BackupWish): Promise<BackupManifest> {
  const { folder, target } = wish;
  const begun = readDataFacts(folder);
  if (begun === undefined) throw new DataFolderError(`${folder} holds no hub, or its hub.json is damaged.`);
  const data = path.join(target, 'data');
  makeEmpty(target);
  mkdirSync(data, { mode: 0o700 });
  const begunTime = wish.now();
  const copies = new Copies(folder, data, wish.progress);
  await copies.tables();
  for (const name of eventLogNames(folder)) await copies.eventLog(name);
  if (wish.withFiles) await copies.tree('files', (name) => name !== '.staging');
  if (wish.withKeys) for (const part of ['keys', 'tls']) await copies.tree(part, () => true);
  writeFacts(data, factsOf(begun, readDataFacts(folder) ?? begun));
  await copies.note('hub.json');
  syncFolder(data);
  const manifest: BackupManifest = {
    format: BACKUP_FORMAT,
    hubName: begun.hubName,
    begunTime,
    endedTime: wish.now(),
    withKeys: wish.withKeys,
    withFiles: wish.withFiles,
    files: copies.files,
  };
  writeFileDurably(path.join(target, MANIFEST), `${JSON.stringify(manifest, undefined, 2)}\n`);
  return manifest;
}

/** @throws DataFolderError when the folder is no finished backup that this program reads */
export function readManifest(target: string, text: string): BackupManifest {
  let parsed: ReturnType<typeof manifestSchema.safeParse> | undefined;
  try {
    parsed = manifestSchema.safeParse(JSON.parse(text));
  } catch {
    parsed = undefined;
  }
  if (!parsed?.success) throw new DataFolderError(`${path.join(target, MANIFEST)} is damaged.`);
  if (parsed.data.format > BACKUP_FORMAT) {
    throw new DataFolderError(`The backup has format ${parsed.data.format}: use the newer program that made it.`);
  }
  return parsed.data;
}

export const manifestFile = (target: string): string => path.join(target, MANIFEST);

/**
 * The newest segments as they were known before anything was copied: each of them is in the copy. The ceilings as they are
 * known after it: no number in the copy is beyond them.
 */
function factsOf(begun: HubFacts, ended: HubFacts): HubFacts {
  if (begun.parts === undefined) return begun;
  const events = Object.fromEntries(
    Object.entries(begun.parts.events).map(([log, { newest, ceilings }]) => [
      log,
      { newest, ceilings: ended.parts?.events[log]?.ceilings ?? ceilings },
    ]),
  );
  return { ...begun, parts: { ...begun.parts, events } };
}

function makeEmpty(target: string): void {
  mkdirSync(target, { recursive: true, mode: 0o700 });
  if (readdirSync(target).length > 0) throw new DataFolderError(`${target} is not empty. Name a new folder.`);
}

/** Copies parts of a data folder while its hub may write them. */
class Copies {
  readonly files: Record<string, { bytes: number; sha256: string }> = {};
  readonly #from: string;
  readonly #to: string;
  readonly #progress: BackupWish['progress'];
  #bytes = 0;

  constructor(from: string, to: string, progress: BackupWish['progress']) {
    this.#from = from;
    this.#to = to;
    this.#progress = progress;
  }

  /** By SQLite's own backup, in one step: a state between two commits, during which the hub goes on committing. */
  async tables(): Promise<void> {
    const name = path.join('tables', 'hub.db');
    if (!existsSync(path.join(this.#from, name))) return;
    mkdirSync(path.join(this.#to, 'tables'), { mode: 0o700 });
    const database = new DatabaseSync(path.join(this.#from, name), { readOnly: true });
    try {
      database.exec('pragma busy_timeout = 5000');
      // Before anything is written, so that others than this user never read it.
      await (await open(path.join(this.#to, name), 'wx', 0o600)).close();
      await backup(database, path.join(this.#to, name), { rate: PAGES_AT_ONCE });
    } finally {
      database.close();
    }
    await this.note(name);
  }

  /** Segments, oldest first; the last one as far as it is sound. */
  async eventLog(log: string): Promise<void> {
    const folder = path.join('events', log);
    mkdirSync(path.join(this.#to, folder), { recursive: true, mode: 0o700 });
    await this.#copy(path.join(folder, 'log.meta'));
    const names = readdirSync(path.join(this.#from, folder));
    for (const position of positionsOf(names, 'journal')) {
      const stem = String(position).padStart(20, '0');
      // Retention may remove the oldest meanwhile, and nothing but the oldest.
      const isThere = await this.#copy(path.join(folder, `${stem}.journal`));
      if (isThere) await this.#copy(path.join(folder, `${stem}.index`));
    }
    await this.#cutUnfinished(folder);
    for (const name of readdirSync(path.join(this.#to, folder))) await this.note(path.join(folder, name));
    syncFolder(path.join(this.#to, folder));
  }

  /** What was being written when it was copied was not acknowledged by then, or comes again at the next start. */
  async #cutUnfinished(folder: string): Promise<void> {
    const at = path.join(this.#to, folder);
    for (const { kind, file, place } of (await checkEventLog(at)).problems) {
      if (kind === 'index') await rm(path.join(at, file), { force: true });
      if (kind === 'torn') await truncate(path.join(at, file), place);
    }
  }

  /** A folder whose files are only ever replaced as a whole. @param isWanted by the name of an entry of the folder */
  async tree(part: string, isWanted: (name: string) => boolean): Promise<void> {
    if (!existsSync(path.join(this.#from, part))) return;
    for (const entry of readdirSync(path.join(this.#from, part), { withFileTypes: true })) {
      const name = path.join(part, entry.name);
      if (!isWanted(entry.name)) continue;
      if (entry.isDirectory()) await this.tree(name, () => true);
      else if (entry.isFile() && (await this.#copy(name))) await this.note(name);
    }
  }

  /** Takes a finished file of the copy into the list, with its sum. */
  async note(name: string): Promise<void> {
    const hash = createHash('sha256');
    const file = path.join(this.#to, name);
    const handle = await open(file, 'r');
    try {
      for await (const chunk of handle.createReadStream({ autoClose: false })) hash.update(chunk as Buffer);
      await handle.sync();
    } finally {
      await handle.close();
    }
    this.files[name] = { bytes: (await stat(file)).size, sha256: hash.digest('hex') };
  }

  /** A file up to the length that it has now. False: it is not there any more. */
  async #copy(name: string): Promise<boolean> {
    const from = await open(path.join(this.#from, name), 'r').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined;
      throw error;
    });
    if (from === undefined) return false;
    try {
      const target = path.join(this.#to, name);
      mkdirSync(path.dirname(target), { recursive: true, mode: 0o700 });
      const to = await open(target, 'wx', 0o600);
      try {
        await this.#copyBytes(name, from, to, (await from.stat()).size);
      } finally {
        await to.close();
      }
    } finally {
      await from.close();
    }
    return true;
  }

  /** In steps that are synced one by one: a long sync would make the hub's own, on the same disk, wait behind it. */
  async #copyBytes(name: string, from: FileHandle, to: FileHandle, size: number): Promise<void> {
    const buffer = Buffer.allocUnsafe(limits.backupStepBytes);
    for (let at = 0; at < size; ) {
      const { bytesRead } = await from.read(buffer, 0, Math.min(buffer.length, size - at), at);
      if (bytesRead === 0) break;
      await to.write(buffer, 0, bytesRead, at);
      await to.datasync();
      at += bytesRead;
      this.#bytes += bytesRead;
      this.#progress({ file: name, bytes: this.#bytes });
    }
  }
}

/** More pages than any database has. */
const PAGES_AT_ONCE = 2 ** 31 - 1;
