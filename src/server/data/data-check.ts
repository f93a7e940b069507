/** What is wrong with a data folder: facts, keys, event logs, tables. Reads only. */
import { existsSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { silentLog } from '../../base/log.ts';
import { systemRandom } from '../../base/random.ts';
import { checkEventLog, type EventLogCheck, type EventLogProblem } from '../../stores/embedded/event-log/check.ts';
import { checkTables, type TablesCheck, type TablesProblem } from '../../stores/embedded/tables/check.ts';
import { openKeyCipher } from '../../stores/embedded/tables/key-file.ts';
import type { LostRun } from '../../stores/event-log/format.ts';
import type { KeyRing } from '../../stores/tables/key-cipher.ts';
import { DATA_FORMAT, type HubFacts, readDataFacts } from './data-folder.ts';
import { lostParts } from './data-parts.ts';

export interface DataProblem {
  /** Below the data folder. */
  readonly file: string;
  /** Byte in the file from which on it cannot be believed, where that is known. */
  readonly place?: number;
  readonly kind: 'facts' | 'lost' | 'key' | 'format' | EventLogProblem['kind'] | 'tables';
  readonly what: string;
  /** What `mooring data repair` does about it. */
  readonly repair: string;
}

export interface DataCheck {
  readonly folder: string;
  readonly facts: HubFacts | undefined;
  readonly eventLogs: readonly {
    readonly name: string;
    readonly segments: number;
    readonly bytes: number;
    readonly events: number;
    /** Lost before an earlier repair. */
    readonly lost: readonly LostRun[];
  }[];
  readonly tables: { readonly format: number | undefined; readonly rows: Readonly<Record<string, number>> };
  readonly problems: readonly DataProblem[];
}

export interface DataPlace {
  readonly folder: string;
  /** The setting keyEncryptionKey, if the hub has one. */
  readonly givenKey: string | undefined;
}

/** @throws Error when a file cannot be read at all, or the folder is that of a newer program. */
export async function checkData({ folder, givenKey }: DataPlace): Promise<DataCheck> {
  const problems: DataProblem[] = [];
  const facts = readDataFacts(folder);
  if (facts === undefined) {
    problems.push({
      file: 'hub.json',
      kind: 'facts',
      what: 'it is missing or damaged',
      repair: 'makes it again from the names and the facts of the event logs',
    });
  } else if (facts.format > DATA_FORMAT) {
    throw new Error(
      `It has format ${facts.format}, and this program knows up to ${DATA_FORMAT}: use the newer program.`,
    );
  }
  for (const { part, file, what } of lostParts(folder, facts?.parts)) {
    const repair = `none, unless the loss is accepted: --accept-loss ${part}; better put it back from a copy`;
    problems.push({ file, kind: 'lost', what, repair });
  }
  const ring = readKeys(folder, givenKey, problems);
  const eventLogs: DataCheck['eventLogs'][number][] = [];
  for (const name of eventLogNames(folder)) {
    const check = await checkEventLog(path.join(folder, 'events', name));
    problems.push(...check.problems.map((problem) => eventLogProblem(name, problem)));
    eventLogs.push(eventLogFacts(name, check));
  }
  const tables = checkTables(path.join(folder, 'tables', 'hub.db'), ring);
  problems.push(...tables.problems.map((problem) => tablesProblem(tables, problem)));
  return { folder, facts, eventLogs, tables: { format: tables.format, rows: tables.rows }, problems };
}

export function eventLogNames(folder: string): readonly string[] {
  const events = path.join(folder, 'events');
  if (!existsSync(events)) return [];
  return readdirSync(events)
    .filter((name) => statSync(path.join(events, name)).isDirectory())
    .sort();
}

/** The keys of the folder. Unlike a start, this makes none. */
export function readKeys(folder: string, given: string | undefined, problems: DataProblem[] = []): KeyRing | undefined {
  const file = path.join(folder, 'keys', 'tables.key');
  const problem = (what: string): undefined => {
    const repair =
      'none: put the file back from a copy; without it the stored keys of devices and policies cannot be read';
    problems.push({ file: path.join('keys', 'tables.key'), kind: 'key', what, repair });
  };
  const hasTables = existsSync(path.join(folder, 'tables', 'hub.db'));
  if (given === undefined && !existsSync(file)) return hasTables ? problem('it is missing') : undefined;
  try {
    return openKeyCipher({ file, ...(given !== undefined && { given }), random: systemRandom, log: silentLog });
  } catch (error) {
    return problem((error as Error).message);
  }
}

function eventLogFacts(name: string, { segments, lost }: EventLogCheck): DataCheck['eventLogs'][number] {
  const sum = (of: (segment: (typeof segments)[number]) => number): number =>
    segments.reduce((all, segment) => all + of(segment), 0);
  return {
    name,
    segments: segments.length,
    bytes: sum(({ bytes }) => bytes),
    events: sum(({ records }) => records),
    lost,
  };
}

const eventLogRepairs: Readonly<Record<EventLogProblem['kind'], string>> = {
  torn: 'cuts it; nothing in it was acknowledged (the next start does the same)',
  index: 'makes it again from its segment; nothing is lost',
  damaged: 'keeps the file aside, keeps every event that can be read, and leaves a gap that names the lost ones',
};

function eventLogProblem(name: string, { kind, file, place, what }: EventLogProblem): DataProblem {
  const repair = file === 'log.meta' ? 'makes it again from hub.json' : eventLogRepairs[kind];
  return { file: path.join('events', name, file), place, kind, what, repair };
}

const tablesRepairs: Readonly<Record<TablesProblem['kind'], string>> = {
  damaged: 'keeps the file aside, and saves every row that can be read into a new one',
  rows: 'keeps the file aside, and sets the rows right in a new one',
  key: 'disables identities whose keys do not open, and lets policies get new keys; not where the key as a whole does not fit, unless --accept-loss keys is given',
  format: 'none: use the newer program',
};

function tablesProblem(_tables: TablesCheck, { kind, table, what }: TablesProblem): DataProblem {
  const file = path.join('tables', 'hub.db');
  const named = table === undefined ? what : `table ${table}: ${what}`;
  return {
    file,
    kind: kind === 'key' || kind === 'format' ? kind : 'tables',
    what: named,
    repair: tablesRepairs[kind],
  };
}
