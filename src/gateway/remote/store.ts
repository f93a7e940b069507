import { chmodSync, existsSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { Refused } from '../refused.ts';

/** Format of the file; a later one brings its step. */
const FORMAT = 1;

const tables = `
  create table block (n integer primary key, messages integer not null, size integer not null, body blob not null) strict;
  create table report (device text primary key, patch text not null) strict, without rowid;
  create table settled (device text not null, command text not null, outcome text not null, expires integer not null,
    primary key (device, command)) strict, without rowid;
  create table proof (device text not null, hash blob not null, seen integer not null, primary key (device, hash))
    strict, without rowid;
  create table fact (name text primary key, value blob not null) strict, without rowid;
`;

/** The store of this gateway cannot be used; the message says why and what to do. */
export class GatewayStoreError extends Error {
  override readonly name = 'GatewayStoreError';
}

export interface GatewayStoreOptions {
  /** Made if it is not there. One gateway has it at a time. */
  readonly folder: string;
  readonly clock: Clock;
  /** A group of writes waits so long for more of them, so that a trickle does not cost a sync each. Milliseconds. */
  readonly commitMs?: number;
  /** Largest size of the file in bytes; absent = as much as the disk has. */
  readonly fileBytesMax?: number;
}

interface Write {
  run(): void;
  resolve(): void;
  reject(error: Error): void;
}

/**
 * The file in which a gateway keeps what must survive it: messages, patches, outcomes, proofs. Writes share commits, and a
 * commit is synced (WAL, `synchronous = full`) before any of its writes is told: they survive a kill and a loss of power.
 */
export class GatewayStore {
  /** Of the database; beside it lies its log. */
  readonly file: string;
  readonly #database: DatabaseSync;
  readonly #clock: Clock;
  readonly #commitMs: number;
  #writes: Write[] = [];
  #isScheduled = false;
  #isClosed = false;
  /** Commits so far. */
  commits = 0;
  /** Why the last commit failed; undefined = it has not. */
  failure: Error | undefined;

  /** @throws GatewayStoreError */
  constructor({ folder, clock, commitMs = limits.gatewayCommitMs, fileBytesMax }: GatewayStoreOptions) {
    this.#clock = clock;
    this.#commitMs = commitMs;
    this.file = path.join(folder, 'gateway.db');
    this.#database = openDatabase(folder, this.file, fileBytesMax);
  }

  prepare(sql: string): StatementSync {
    return this.#database.prepare(sql);
  }

  /**
   * Has `run` make changes in the next commit, behind those that were asked for before. Resolves when they are durable.
   * @param run throws Refused before it has changed anything: that ends nothing of the others
   * @throws Refused queueFull (the disk, or the file, is full), unreachable (the disk fails): nothing was changed then; and what `run` throws
   */
  write(run: () => void): Promise<void> {
    if (this.#isClosed) return Promise.reject(new Refused('closed', 'The gateway is stopping.'));
    return new Promise((resolve, reject) => {
      this.#writes.push({ run, resolve, reject });
      this.#schedule();
    });
  }

  /** Commits what waits. */
  flush(): void {
    const writes = this.#writes;
    if (writes.length === 0) return;
    this.#writes = [];
    const refused = new Map<Write, Refused>();
    try {
      this.#database.exec('begin immediate');
      for (const write of writes) {
        try {
          write.run();
        } catch (error) {
          // One device's change that is too large must not refuse the messages of all others.
          if (!(error instanceof Refused)) throw error;
          refused.set(write, error);
        }
      }
      this.#database.exec('commit');
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec('rollback');
      this.failure = error as Error;
      const refusal = refusalOf(error);
      for (const { reject } of writes) reject(refusal);
      return;
    }
    this.commits++;
    this.failure = undefined;
    for (const write of writes) {
      const refusal = refused.get(write);
      if (refusal === undefined) write.resolve();
      else write.reject(refusal);
    }
  }

  close(): void {
    if (this.#isClosed) return;
    this.flush();
    this.#isClosed = true;
    this.#database.close();
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    this.#clock.after(this.#commitMs, () => {
      this.#isScheduled = false;
      if (!this.#isClosed) this.flush();
    });
  }
}

function openDatabase(folder: string, file: string, fileBytesMax: number | undefined): DatabaseSync {
  let database: DatabaseSync | undefined;
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const isNew = !existsSync(file);
    database = new DatabaseSync(file);
    if (isNew) chmodSync(file, 0o600);
    database.exec('pragma locking_mode = exclusive; pragma journal_mode = wal; pragma synchronous = full');
    demandWhole(database, file);
    database.exec('begin immediate');
    const { user_version: format } = database.prepare('pragma user_version').get() as { user_version: number };
    if (format === 0) database.exec(`${tables}; pragma user_version = ${FORMAT}`);
    database.exec('commit');
    if (format > FORMAT)
      throw new GatewayStoreError(`${file} was written by a later version of mooring: use that one.`);
    if (fileBytesMax !== undefined) {
      const { page_size: page } = database.prepare('pragma page_size').get() as { page_size: number };
      database.exec(`pragma max_page_count = ${Math.max(64, Math.ceil(fileBytesMax / page))}`);
    }
    return database;
  } catch (error) {
    database?.close();
    if (error instanceof GatewayStoreError) throw error;
    const { errcode, message } = error as { errcode?: number; message: string };
    if (isDamage(errcode)) throw damaged(file, message);
    throw new GatewayStoreError(
      errcode === SQLITE_BUSY
        ? `${folder} is in use by another gateway: give each one a folder of its own.`
        : `${file} cannot be used (${message}): see that the folder can be written, or name another one.`,
    );
  }
}

/** Reads the whole file: what is damaged is found before a device is told that something is stored in it. @throws GatewayStoreError */
function demandWhole(database: DatabaseSync, file: string): void {
  const { quick_check: said } = database.prepare('pragma quick_check(1)').get() as { quick_check: string };
  if (said !== 'ok') throw damaged(file, said.split('\n').at(-1) ?? said);
}

/** Nothing was changed in it, and nothing is given up without a word: what becomes of it is the operator's. */
function damaged(file: string, detail: string): GatewayStoreError {
  const what = `${file} is damaged (${detail}), and was left as it is: what waits in it for the hub is not sent.`;
  const todo = 'Check the disk, move the folder away, and start again: the gateway begins with an empty queue.';
  return new GatewayStoreError(
    `${what} ${todo} Keep the folder if its messages matter: tools for SQLite can read what is whole.`,
  );
}

const SQLITE_BUSY = 5;
const SQLITE_CORRUPT = 11;
const SQLITE_NOTADB = 26;
const isDamage = (code: number | undefined): boolean => code === SQLITE_CORRUPT || code === SQLITE_NOTADB;
const SQLITE_FULL = 13;

function refusalOf(error: unknown): Error {
  const { errcode, message } = error as { errcode?: number; message: string };
  return errcode === SQLITE_FULL
    ? new Refused('queueFull', "The gateway's disk is full.")
    : new Refused('unreachable', `The gateway's disk fails (${message}).`);
}
