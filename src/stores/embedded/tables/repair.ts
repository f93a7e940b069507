/**
 * `mooring data repair` for the tables: a new database of the present format, filled with every row of the damaged one that
 * can be read, and set right where rows contradict each other. The damaged one is only read.
 */
import { closeSync, fstatSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';
import { DatabaseSync, type SQLInputValue } from 'node:sqlite';
import type { Random } from '../../../base/random.ts';
import { NEVER, states } from '../../tables/command-rows.ts';
import { createKeyCipher, KEY_BYTES, type KeyCipher, type KeyRing } from '../../tables/key-cipher.ts';
import { prepareTables } from '../../tables/prepare.ts';
import { sealedTexts } from './check.ts';
import { configurationRepairs, configurationSingles } from './configuration-invariants.ts';
import { kyselyOver, openDatabase } from './sqlite.ts';

export interface TablesRepair {
  /** What was done, a sentence each. */
  readonly actions: readonly string[];
  /** Rows that were saved, by table. */
  readonly saved: Readonly<Record<string, number>>;
}

/** Tries to read rows of a damaged page apart from their neighbours, before what is left of a table is given up. */
const PROBES_MAX = 5_000;
const ROWS_AT_ONCE = 500;

/**
 * @param damaged the database to read; nothing in it is changed
 * @param fresh name of the new one, which must not exist
 * @throws Error when nothing of it can be read as a database, or it has a newer format
 */
export async function salvageTables(
  damaged: string,
  fresh: string,
  ring: KeyRing,
  random: Random,
): Promise<TablesRepair> {
  const source = new DatabaseSync(damaged, { readOnly: true });
  const target = openDatabase(fresh);
  const actions: string[] = [];
  const saved: Record<string, number> = {};
  try {
    const cipher = createKeyCipher(ring);
    target.exec('begin immediate');
    // In the order of what they hold together; `facts` are written by `prepareTables`.
    await prepareTables(kyselyOver(target), cipher, ring);
    for (const table of tablesOf(target)) {
      if (table === 'facts') continue;
      const { rows, isWhole } = copyTable(source, target, table);
      saved[table] = rows;
      if (!isWhole) actions.push(`${table}: ${rows} rows were saved, others cannot be read`);
    }
    keepReceiptNumbers(source, target);
    // The next start then looks at every identity that is marked as connected, as after a crash.
    target.exec(`insert or replace into facts (name, value) values ('presence_running/', '1')`);
    actions.push(...setRight(target));
    actions.push(...replaceUnreadableKeys(target, cipher, random));
    target.exec('commit');
    return { actions, saved };
  } finally {
    target.close();
    source.close();
  }
}

/** First bytes of every database of ours: page size 4096, WAL, no reserved bytes, and the constants of the format. */
const DATABASE_HEAD = Buffer.concat([
  Buffer.from('SQLite format 3\0', 'latin1'),
  Buffer.from([0x10, 0x00, 2, 2, 0, 64, 32, 32]),
]);
const PAGE_COUNT_AT = 28;
const HEADER_BYTES = 100;
const PAGE_BYTES = 4096;
/** Schema format 4 and UTF-8, the only ones that are written. */
const CONSTANTS: readonly (readonly [at: number, value: number])[] = [
  [44, 4],
  [56, 1],
];

/**
 * SQLite refuses the whole of a file whose header is damaged or whose end is missing. What is always the same is put right
 * in place, and zeros stand for the missing pages, so that the rest can be read. For a copy only.
 */
export function makeReadable(file: string): void {
  const handle = openSync(file, 'r+');
  try {
    const size = fstatSync(handle).size;
    if (size < PAGE_BYTES) return;
    const header = Buffer.alloc(HEADER_BYTES);
    readSync(handle, header, 0, HEADER_BYTES, 0);
    DATABASE_HEAD.copy(header);
    for (const [at, value] of CONSTANTS) header.writeUInt32BE(value, at);
    const pages = Math.ceil(size / PAGE_BYTES);
    const claimed = header.readUInt32BE(PAGE_COUNT_AT);
    // A count that is far beyond the file is itself what is damaged.
    const count = claimed > pages && claimed <= 2 * pages + PAGES_MISSING_MAX ? claimed : pages;
    header.writeUInt32BE(count, PAGE_COUNT_AT);
    // The count is believed only where "version valid for" repeats the change counter.
    header.copy(header, 92, 24, 28);
    writeSync(handle, header, 0, HEADER_BYTES, 0);
    ftruncateSync(handle, count * PAGE_BYTES);
  } finally {
    closeSync(handle);
  }
}

const PAGES_MISSING_MAX = 1 << 20;

function tablesOf(database: DatabaseSync): readonly string[] {
  return database
    .prepare(`select name from sqlite_schema where type = 'table' and name not like 'sqlite_%' order by rowid`)
    .all()
    .map((row) => String(row.name));
}

interface Copied {
  readonly rows: number;
  readonly isWhole: boolean;
}

/** Reads by row number, past what cannot be read, and never through an index of the damaged file. */
function copyTable(source: DatabaseSync, target: DatabaseSync, table: string): Copied {
  const columns = target
    .prepare(`select name from pragma_table_info(?)`)
    .all(table)
    .map((row) => String(row.name));
  // A count row that is there already is replaced; of two rows with one key the first is kept.
  const verb =
    table === 'identity_counts' || configurationSingles.has(table) ? 'insert or replace' : 'insert or ignore';
  const insert = target.prepare(
    `${verb} into "${table}" (${columns.join(', ')}) values (${columns.map(() => '?').join(', ')})`,
  );
  const prepare = (order: 'asc' | 'desc') =>
    source.prepare(
      `select rowid as "row number", ${columns.join(', ')} from "${table}" not indexed where rowid between ? and ? order by rowid ${order}`,
    );
  const select = { asc: prepare('asc'), desc: prepare('desc') };
  let rows = 0;
  let isWhole = true;
  let probes = 0;
  const seen = new Set<number>();
  const read = (order: 'asc' | 'desc', from: number, to: number): number | undefined => {
    let last: number | undefined;
    try {
      for (const row of select[order].iterate(from, to)) {
        last = Number(row['row number']);
        if (seen.has(last)) continue;
        seen.add(last);
        rows += Number(insertRow(insert, columns, row));
      }
      return undefined;
    } catch {
      isWhole = false;
      return last ?? (order === 'asc' ? from - 1 : to + 1);
    }
  };
  const ranges: [number, number][] = [[0, highestRow(source, table)]];
  for (let range = ranges.pop(); range !== undefined && probes < PROBES_MAX; range = ranges.pop()) {
    const [from, to] = range;
    probes++;
    const low = read('asc', from, to);
    if (low === undefined || from === to) continue;
    const high = read('desc', low + 1, to) ?? low + 1;
    // What is left cannot be read as a stretch: its halves may be.
    const middle = Math.floor((low + high) / 2);
    if (low + 1 <= middle) ranges.push([low + 1, middle]);
    if (middle + 1 <= high - 1) ranges.push([middle + 1, high - 1]);
  }
  return { rows, isWhole };
}

/** Receipts that have been read are gone, but their numbers are not given again. */
function keepReceiptNumbers(source: DatabaseSync, target: DatabaseSync): void {
  const table = 'command_receipts';
  let last: number;
  try {
    last = Number(source.prepare('select seq from sqlite_sequence where name = ?').get(table)?.seq ?? 0);
  } catch {
    return;
  }
  target
    .prepare(
      'insert into sqlite_sequence (name, seq) select ?, 0 where not exists (select 1 from sqlite_sequence where name = ?)',
    )
    .run(table, table);
  target.prepare('update sqlite_sequence set seq = max(seq, ?) where name = ?').run(last, table);
}

function insertRow(
  insert: ReturnType<DatabaseSync['prepare']>,
  columns: readonly string[],
  row: Readonly<Record<string, unknown>>,
): boolean {
  try {
    return insert.run(...columns.map((column) => row[column] as SQLInputValue)).changes === 1;
  } catch {
    // A row that the rules of its table refuse, for example without its key, is not what was written.
    return false;
  }
}

/** Highest row number that may exist: where the end cannot be read, what the file's size leaves room for. */
function highestRow(source: DatabaseSync, table: string): number {
  try {
    return Number(source.prepare(`select coalesce(max(rowid), 0) as n from "${table}"`).get()?.n);
  } catch {
    return ROWS_AT_ONCE * Number(source.prepare('pragma page_count').get()?.page_count ?? 1);
  }
}

/** Rows that contradict each other. What cannot be told apart is decided so that nothing is delivered that was not sent. */
function setRight(target: DatabaseSync): string[] {
  const actions: string[] = [];
  const run = (what: string, sql: string): void => {
    const changes = Number(target.prepare(sql).run().changes);
    if (changes > 0) actions.push(`${changes} ${what}`);
  };
  const same = (a: string, b: string): string => `${a}.device_id = ${b}.device_id and ${a}.module_id = ${b}.module_id`;
  run(
    'identities with words that are none of theirs were removed',
    `delete from identities where status not in ('enabled', 'disabled')
      or auth_type not in ('sas', 'selfSigned', 'certificateAuthority', 'none') or iot_edge not in (0, 1)
      or not json_valid(parent_scopes) or device_id = ''`,
  );
  run(
    'modules without their device were removed',
    `delete from identities where module_id <> '' and device_id not in (select device_id from identities where module_id = '')`,
  );
  run(
    'twins that cannot be read, or that lost their document or their identity, were removed: their devices begin with fresh ones',
    `delete from twins where not json_valid('[' || rtrim(tail, ',') || ']')
      or not exists (select 1 from identities i where ${same('i', 'twins')})
      or (changes + desired_version > 2 and not exists
        (select 1 from twin_documents d where ${same('d', 'twins')} and json_valid(d.document)))`,
  );
  run(
    'documents without their twin were removed',
    `delete from twin_documents where not exists (select 1 from twins t where ${same('t', 'twin_documents')})`,
  );
  run(
    'changes that their twin has not reached were removed',
    `delete from twin_patches where not json_valid(patch) or not exists
      (select 1 from twins t where ${same('t', 'twin_patches')} and twin_patches.version <= t.desired_version)`,
  );
  run('events of twins that cannot be read were removed', 'delete from twin_events where not json_valid(content)');
  run(
    'jobs that cannot be read were removed',
    `delete from jobs where not json_valid(work) or kind not in ('scheduleUpdateTwin', 'scheduleDeviceMethod')
      or status not in ('queued', 'running', 'completed', 'failed', 'cancelled')`,
  );
  run(
    'records of jobs that cannot be read, or that lost their job, were removed',
    `delete from job_devices where state not between 0 and 5 or (result <> '' and not json_valid(result))
      or job not in (select id from jobs)`,
  );
  run(
    'jobs were counted again',
    `update jobs set ${['waiting', 'running', 'completed', 'failed', 'cancelled', 'unknown']
      .map(
        (name, state) => `${name} = (select count(*) from job_devices d where d.job = jobs.id and d.state = ${state})`,
      )
      .join(', ')} where is_open = 1`,
  );
  for (const [what, sql] of configurationRepairs) run(what, sql);
  run('policies that cannot be read were removed', 'delete from policies where not json_valid(permissions)');
  run('MQTT sessions that cannot be read were removed', 'delete from subscriptions where not json_valid(filters)');
  run(
    'consumer groups whose name does not fit were removed',
    'delete from consumer_groups where lower(name) <> name_key',
  );
  run(
    'commands in a state that does not exist were removed',
    `delete from commands where state not between 0 and ${states.length - 1} or not json_valid(trail)
      or (state = 1) <> (lock_token is not null) or (state <= 1) <> (due is not null) or (state >= 2) <> (ended_time is not null)`,
  );
  run(
    'commands without their message were removed',
    `delete from commands where not exists (select 1 from command_messages m
      where ${same('m', 'commands')} and m.sequence = commands.sequence and json_valid(m.header))`,
  );
  run(
    'messages without their command were removed',
    `delete from command_messages where not exists (select 1 from commands c
      where ${same('c', 'command_messages')} and c.sequence = command_messages.sequence)`,
  );
  run(
    'queues were made again from their commands',
    `insert into command_queues (device_id, module_id, last_sequence, waiting, locked, next_due)
      select device_id, module_id, max(sequence), 0, 0, 0 from commands c
      where not exists (select 1 from command_queues q where ${same('q', 'c')}) group by device_id, module_id`,
  );
  run(
    'queues were counted again',
    `update command_queues set
      waiting = (select count(*) from commands c where ${same('command_queues', 'c')} and state = 0),
      locked = (select count(*) from commands c where ${same('command_queues', 'c')} and state = 1),
      last_sequence = max(last_sequence, (select coalesce(max(sequence), 0) from commands c where ${same('command_queues', 'c')})),
      next_due = (select coalesce(min(due), ${NEVER}) from commands c where ${same('command_queues', 'c')} and state <= 1)
    where waiting <> (select count(*) from commands c where ${same('command_queues', 'c')} and state = 0)
      or locked <> (select count(*) from commands c where ${same('command_queues', 'c')} and state = 1)
      or last_sequence < (select coalesce(max(sequence), 0) from commands c where ${same('command_queues', 'c')})
      or next_due > (select coalesce(min(due), next_due) from commands c where ${same('command_queues', 'c')} and state <= 1)`,
  );
  target.exec(`delete from identity_counts where status not in ('enabled', 'disabled')`);
  target.exec(`insert or ignore into identity_counts (status, count) values ('enabled', -1), ('disabled', -1)`);
  run(
    'counts of devices were made again',
    `update identity_counts set count = (select count(*) from identities i where i.module_id = '' and i.status = identity_counts.status)
     where count <> (select count(*) from identities i where i.module_id = '' and i.status = identity_counts.status)`,
  );
  return actions;
}

/**
 * A policy whose keys do not open is removed: the next start makes it again, with new keys. An identity gets random keys and
 * is disabled, so that nobody comes in with a key that nobody knows to be right.
 */
function replaceUnreadableKeys(target: DatabaseSync, cipher: KeyCipher, random: Random): string[] {
  const bad = [...sealedTexts(target)].filter(({ sealed, context }) => {
    try {
      cipher.open(sealed, context);
      return false;
    } catch {
      return true;
    }
  });
  const disabled = new Set<string>();
  const policies = new Set<string>();
  for (const { table, names, column, context } of bad) {
    if (table === 'policies') {
      policies.add(names[0]);
      target.prepare('delete from policies where name = ?').run(names[0]);
      continue;
    }
    const [deviceId, moduleId] = names;
    target
      .prepare(
        `update identities set ${column} = ?, status = 'disabled', status_reason = 'its keys could not be read after damage'
         where device_id = ? and module_id = ?`,
      )
      .run(cipher.seal(random.bytes(KEY_BYTES).toString('base64'), context), deviceId, moduleId);
    disabled.add(moduleId === '' ? deviceId : `${deviceId}/${moduleId}`);
  }
  target.exec(
    `update identity_counts set count = (select count(*) from identities i where i.module_id = '' and i.status = identity_counts.status)`,
  );
  const actions: string[] = [];
  for (const name of policies) actions.push(`policy ${name}: its keys do not open; the next start makes new ones`);
  if (disabled.size > 0) {
    const shown = [...disabled].slice(0, NAMES_SHOWN_MAX).join(', ');
    actions.push(`${disabled.size} identities whose keys do not open were disabled and need new keys: ${shown}`);
  }
  return actions;
}

const NAMES_SHOWN_MAX = 100;
