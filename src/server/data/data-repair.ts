/**
 * Mends a data folder so that the hub opens it again. Nothing is deleted: what is changed or removed stands, as it was, in
 * `damaged/<time>/` below the data folder, with `report.json`.
 */
import { constants, copyFileSync, existsSync, mkdirSync, renameSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import type { Random } from '../../base/random.ts';
import { systemFiles } from '../../stores/embedded/event-log/files.ts';
import type { LostEvents } from '../../stores/embedded/event-log/gaps.ts';
import { readMeta } from '../../stores/embedded/event-log/meta.ts';
import { repairEventLog } from '../../stores/embedded/event-log/repair.ts';
import { syncFolder } from '../../stores/embedded/sync-folder.ts';
import { KEY_CHECK_PROBLEM } from '../../stores/embedded/tables/check.ts';
import { makeReadable, salvageTables } from '../../stores/embedded/tables/repair.ts';
import { monitoringName } from '../endpoints.ts';
import { checkData, type DataPlace, type DataProblem, eventLogNames, readKeys } from './data-check.ts';
import { DATA_FORMAT, type HubFacts, syncFile, writeFacts, writeFileDurably } from './data-folder.ts';
import { acceptLoss, forget } from './data-loss.ts';
import { lostParts, type Parts } from './data-parts.ts';

export interface DataRepair {
  readonly folder: string;
  /** What was done, a sentence each; empty = nothing was wrong. */
  readonly actions: readonly string[];
  /** Events that cannot be read any more; their numbers are not given again. */
  readonly lost: readonly (LostEvents & { readonly log: string })[];
  /** Where the files are kept as they were; undefined = none was changed. */
  readonly aside: string | undefined;
  /** What is still wrong. */
  readonly left: readonly DataProblem[];
}

export interface RepairParts extends DataPlace {
  readonly random: Random;
  /** UTC milliseconds. */
  readonly now: number;
  /** Parts whose loss is accepted: `tables`, `tls`, `keys`, `events/<name>`. */
  readonly acceptedLosses?: readonly string[];
}

/** @throws Error when a file cannot be read or written at all, or the folder is that of a newer program. */
export async function repairData(parts: RepairParts): Promise<DataRepair> {
  const { folder, givenKey, random, now, acceptedLosses = [] } = parts;
  const found = await checkData({ folder, givenKey });
  const actions: string[] = [];
  const lost: DataRepair['lost'][number][] = [];
  const aside = new Aside(folder, now);
  const isWrong = (prefix: string): boolean => found.problems.some(({ file }) => file.startsWith(prefix));

  let facts = found.facts;
  if (facts === undefined) {
    facts = await guessFacts(folder, now);
    if (facts !== undefined) {
      aside.keep('hub.json');
      writeFacts(folder, facts);
      actions.push(`hub.json was made again: hub ${facts.hubName}, ${facts.partitions} partitions`);
    }
  }
  for (const log of eventLogNames(folder)) {
    if (facts === undefined || !isWrong(path.join('events', log) + path.sep)) continue;
    const repaired = await repairEventLog({
      folder: path.join(folder, 'events', log),
      partitionCount:
        facts.parts?.events[log]?.ceilings.length ?? (log === monitoringName(facts.hubName) ? 1 : facts.partitions),
      createdTime: facts.createdTime,
      random,
      setAside: async (name) => aside.keep(path.join('events', log, name)),
    });
    actions.push(...repaired.actions.map((action) => `events/${log}: ${action}`));
    lost.push(...repaired.lost.map((run) => ({ log, ...run })));
  }
  // Behind the repair of what is there: an index may know what a lost segment held.
  const gone = new Set(lostParts(folder, facts?.parts).map(({ part }) => part));
  // Tables may be there and be others: only the start sees that.
  if (facts?.parts?.tables !== undefined) gone.add('tables');
  for (const part of gone) {
    if (facts === undefined || !acceptedLosses.includes(part)) continue;
    for (const name of ['hub.json', 'tables/hub.db-wal', 'tables/hub.db-shm']) aside.keep(name);
    const accepted = await acceptLoss({ folder, facts, part, random });
    facts = accepted.facts;
    actions.push(accepted.action);
    lost.push(...accepted.lost);
  }
  const isOtherKey = found.problems.some(({ kind, what }) => kind === 'key' && what.includes(KEY_CHECK_PROBLEM));
  const isLost = lostParts(folder, facts?.parts).some(({ part }) => part === 'tables');
  const mayMend = !isLost && (!isOtherKey || acceptedLosses.includes('keys'));
  if (
    mayMend &&
    isWrong(path.join('tables', 'hub.db')) &&
    existsSync(path.join(folder, 'tables', 'hub.db')) &&
    !found.problems.some(({ kind }) => kind === 'format')
  ) {
    const replacing = (): void => {
      // Tables that are made again are another generation: the start takes them as it finds them.
      if (facts?.parts?.tables !== undefined) facts = forget(folder, facts, 'tables');
    };
    actions.push(...(await mendTables({ folder, givenKey, random, now }, aside, replacing)));
  }
  const left = actions.length === 0 ? found.problems : (await checkData({ folder, givenKey })).problems;
  const repair = { folder, actions, lost, aside: aside.place, left };
  if (aside.place !== undefined) {
    writeFileDurably(
      path.join(aside.place, 'report.json'),
      `${JSON.stringify({ time: now, found: found.problems, ...repair }, undefined, 2)}\n`,
    );
  }
  return repair;
}

async function mendTables(
  { folder, givenKey, random }: RepairParts,
  aside: Aside,
  replacing: () => void,
): Promise<readonly string[]> {
  const ring = readKeys(folder, givenKey);
  // Without the keys it cannot be told which rows are right, and with another key everybody would be locked out.
  if (ring === undefined) return [];
  const file = path.join(folder, 'tables', 'hub.db');
  if (!existsSync(file)) return [];
  const fresh = `${file}.mended`;
  const reading = `${file}.reading`;
  const clear = (): void => {
    for (const name of [fresh, reading])
      for (const beside of ['', '-wal', '-shm']) rmSync(name + beside, { force: true });
  };
  clear();
  for (const name of [file, `${file}-wal`, `${file}-shm`]) aside.keep(path.relative(folder, name));
  try {
    // A copy is read, because reading a database may change it and the files beside it.
    for (const beside of ['', '-wal']) {
      if (existsSync(file + beside)) copyFileSync(file + beside, reading + beside, constants.COPYFILE_FICLONE);
    }
    makeReadable(reading);
    const { actions, saved } = await salvageTables(reading, fresh, ring, random);
    syncFile(fresh);
    replacing();
    for (const name of [`${file}-wal`, `${file}-shm`]) rmSync(name, { force: true });
    renameSync(fresh, file);
    syncFolder(path.dirname(file));
    const rows = Object.values(saved).reduce((sum, count) => sum + count, 0);
    return [
      `tables/hub.db was made again from its ${rows} rows`,
      ...actions.map((action) => `tables/hub.db: ${action}`),
    ];
  } catch (error) {
    return [`tables/hub.db cannot be mended (${(error as Error).message}): restore it from a copy of the folder`];
  } finally {
    clear();
  }
}

/** The facts of `hub.json`, told by the names and the facts of the event logs. */
async function guessFacts(folder: string, now: number): Promise<HubFacts | undefined> {
  const names = eventLogNames(folder);
  const hubName = names.find((name) => names.includes(monitoringName(name))) ?? names[0];
  if (hubName === undefined) return undefined;
  const meta = await readMeta(systemFiles, path.join(folder, 'events', hubName));
  if (meta === undefined) return undefined;
  const facts = { format: DATA_FORMAT, hubName, partitions: meta.partitionCount, createdTime: meta.createdTime || now };
  return { ...facts, parts: guessParts(folder) };
}

/**
 * A hub that had event logs had tables: where they are gone, too, the next start must not make new ones silently. The rest
 * is learnt by the next start, as of a folder from before it was kept.
 */
function guessParts(folder: string): Parts {
  const file = path.join(folder, 'tables', 'hub.db');
  const tls = existsSync(path.join(folder, 'tls', 'ca.pem'));
  const isGone = (statSync(file, { throwIfNoEntry: false })?.size ?? 0) === 0;
  return { ...(isGone && { tables: 'lost' }), ...(tls && { tls }), events: {} };
}

/** Keeps files as they were before they are changed. */
class Aside {
  readonly #folder: string;
  readonly #name: string;
  readonly #kept = new Set<string>();

  constructor(folder: string, now: number) {
    this.#folder = folder;
    this.#name = path.join('damaged', new Date(now).toISOString().replaceAll(/[:.]/g, '-'));
  }

  /** Undefined while nothing was kept. */
  get place(): string | undefined {
    return this.#kept.size === 0 ? undefined : path.join(this.#folder, this.#name);
  }

  path(name: string): string {
    return path.join(this.#folder, this.#name, name);
  }

  /** Copies the file, durably, the first time it is asked for. One that does not exist is nothing to keep. */
  keep(name: string): void {
    const from = path.join(this.#folder, name);
    if (this.#kept.has(name) || !existsSync(from)) return;
    const to = this.path(name);
    mkdirSync(path.dirname(to), { recursive: true, mode: 0o700 });
    copyFileSync(from, to, constants.COPYFILE_FICLONE);
    syncFile(to);
    for (let at = path.dirname(to); at.length >= this.#folder.length; at = path.dirname(at)) syncFolder(at);
    this.#kept.add(name);
  }
}
