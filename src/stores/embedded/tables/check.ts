/**
 * `mooring data check` for the tables: what SQLite itself finds, and what the hub relies on beyond that. Reads only; the
 * hub must not run.
 *
 * SQLite has no checksums over its pages: a bit that flips inside a stored text or body is found where something else
 * says what it must be (sealed keys, lists, counts, closed sets of words), and not in free text.
 */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { states } from '../../tables/command-rows.ts';
import { createKeyCipher, type KeyCipher, type KeyRing } from '../../tables/key-cipher.ts';
import { TABLES_FORMAT } from '../../tables/migrations.ts';
import { configurationInvariants } from './configuration-invariants.ts';

/**
 * `damaged`: the file is not what was written; a repair saves the rows that can be read. `rows`: rows that contradict each
 * other; a repair sets them right. `key`: sealed with a key that is not there, or not readable; `format`: of a newer program.
 */
/** Said when the key is another one, or the row that proves it is damaged. */
export const KEY_CHECK_PROBLEM = 'the text that proves the key does not open';

export interface TablesProblem {
  readonly kind: 'damaged' | 'rows' | 'key' | 'format';
  readonly table: string | undefined;
  readonly what: string;
}

export interface TablesCheck {
  readonly file: string;
  /** Undefined: the file cannot be read as a database. */
  readonly format: number | undefined;
  /** Rows of each table that can be counted. */
  readonly rows: Readonly<Record<string, number>>;
  readonly problems: readonly TablesProblem[];
}

/** A rule that holds between rows; the query counts those that break it. */
interface Invariant {
  readonly table: string;
  readonly needs: readonly string[];
  readonly what: string;
  readonly count: string;
}

const open = 'state <= 1';
const same = (a: string, b: string): string => `${a}.device_id = ${b}.device_id and ${a}.module_id = ${b}.module_id`;

const invariants: readonly Invariant[] = [
  {
    table: 'identities',
    needs: [],
    what: 'modules without their device',
    count: `select count(*) as n from identities m where module_id <> '' and not exists
      (select 1 from identities d where d.device_id = m.device_id and d.module_id = '')`,
  },
  {
    table: 'identities',
    needs: [],
    what: 'identities with words that are none of theirs',
    count: `select count(*) as n from identities where status not in ('enabled', 'disabled')
      or auth_type not in ('sas', 'selfSigned', 'certificateAuthority', 'none') or iot_edge not in (0, 1)
      or not json_valid(parent_scopes) or device_id = ''`,
  },
  {
    table: 'identity_counts',
    needs: ['identities'],
    what: 'counts of devices that are not those of the devices',
    count: `select count(*) as n from identity_counts c where count <>
      (select count(*) from identities i where i.module_id = '' and i.status = c.status)`,
  },
  {
    table: 'commands',
    needs: ['command_queues'],
    what: 'commands without their queue',
    count: `select count(*) as n from commands c where not exists (select 1 from command_queues q where ${same('q', 'c')})`,
  },
  {
    table: 'commands',
    needs: ['command_messages'],
    what: 'commands without their message',
    count: `select count(*) as n from commands c where not exists
      (select 1 from command_messages m where ${same('m', 'c')} and m.sequence = c.sequence)`,
  },
  {
    table: 'commands',
    needs: [],
    what: 'commands in a state that does not exist',
    count: `select count(*) as n from commands where state not between 0 and ${states.length - 1} or not json_valid(trail)
      or (state = 1) <> (lock_token is not null) or (state <= 1) <> (due is not null) or (state >= 2) <> (ended_time is not null)`,
  },
  {
    table: 'command_messages',
    needs: ['commands'],
    what: 'messages without their command',
    count: `select count(*) as n from command_messages m where not json_valid(m.header) or not exists
      (select 1 from commands c where ${same('m', 'c')} and m.sequence = c.sequence)`,
  },
  {
    table: 'command_queues',
    needs: ['commands'],
    what: 'queues whose counts are not those of their commands',
    count: `select count(*) as n from command_queues q where
      waiting <> (select count(*) from commands c where ${same('q', 'c')} and ${open} and state = 0) or
      locked <> (select count(*) from commands c where ${same('q', 'c')} and ${open} and state = 1)`,
  },
  {
    table: 'command_queues',
    needs: ['commands'],
    what: 'queues that would give a number again, or miss what is due',
    count: `select count(*) as n from command_queues q where
      last_sequence < (select coalesce(max(sequence), 0) from commands c where ${same('q', 'c')}) or
      next_due > (select coalesce(min(due), next_due) from commands c where ${same('q', 'c')} and ${open})`,
  },
  {
    table: 'consumer_groups',
    needs: [],
    what: 'names that do not fit their key',
    count: 'select count(*) as n from consumer_groups where lower(name) <> name_key',
  },
  {
    table: 'subscriptions',
    needs: [],
    what: 'lists that cannot be read',
    count: 'select count(*) as n from subscriptions where not json_valid(filters)',
  },
  {
    table: 'twin_documents',
    needs: ['twins'],
    what: 'documents that cannot be read, or without their twin',
    count: `select count(*) as n from twin_documents d where not json_valid(document) or not exists
      (select 1 from twins t where ${same('d', 't')})`,
  },
  {
    table: 'twins',
    needs: ['twin_documents', 'identities'],
    what: 'twins whose patches cannot be read, or without their document or identity',
    count: `select count(*) as n from twins t where not json_valid('[' || rtrim(tail, ',') || ']') or
      (changes + desired_version > 2 and not exists (select 1 from twin_documents d where ${same('t', 'd')})) or
      not exists (select 1 from identities i where ${same('t', 'i')})`,
  },
  {
    table: 'twin_patches',
    needs: ['twins'],
    what: 'changes of no twin, or of a version that it has not reached',
    count: `select count(*) as n from twin_patches p where not json_valid(patch) or not exists
      (select 1 from twins t where ${same('p', 't')} and p.version <= t.desired_version)`,
  },
  {
    table: 'jobs',
    needs: [],
    what: 'jobs with words that are none of theirs',
    count: `select count(*) as n from jobs where kind not in ('scheduleUpdateTwin', 'scheduleDeviceMethod')
      or status not in ('queued', 'running', 'completed', 'failed', 'cancelled') or is_open not in (0, 1) or not json_valid(work)`,
  },
  {
    table: 'jobs',
    needs: ['job_devices'],
    what: 'jobs that are carried on and whose counts are not those of their records',
    count: `select count(*) as n from jobs j where is_open = 1 and waiting + running + completed + failed + cancelled + unknown <>
      (select count(*) from job_devices d where d.job = j.id)`,
  },
  {
    table: 'job_devices',
    needs: ['jobs'],
    what: 'records that cannot be read, or without their job',
    count: `select count(*) as n from job_devices d where state not between 0 and 5 or (result <> '' and not json_valid(result))
      or not exists (select 1 from jobs j where j.id = d.job)`,
  },
  ...configurationInvariants,
  {
    table: 'route_rows',
    needs: ['route_cursors'],
    what: 'rows beside a cursor that is not there',
    count: `select count(*) as n from route_rows r where not exists
      (select 1 from route_cursors c where c.endpoint = r.endpoint and c.partition_number = r.partition_number)`,
  },
  {
    table: 'twin_events',
    needs: [],
    what: 'events that cannot be read',
    count: 'select count(*) as n from twin_events where not json_valid(content)',
  },
  {
    table: 'policies',
    needs: [],
    what: 'lists that cannot be read',
    count: 'select count(*) as n from policies where not json_valid(permissions)',
  },
];

/** @param ring undefined when the keys themselves cannot be read: then sealed texts are not looked at. */
export function checkTables(file: string, ring: KeyRing | undefined): TablesCheck {
  const problems: TablesProblem[] = [];
  const rows: Record<string, number> = {};
  const damaged = (table: string | undefined, what: string): void =>
    void problems.push({ kind: 'damaged', table, what });
  if (!existsSync(file)) {
    // A folder whose first start was killed early has none yet.
    if (existsSync(path.dirname(file))) damaged(undefined, 'the file is missing');
    return { file, format: undefined, rows, problems };
  }
  let database: DatabaseSync | undefined;
  let format: number | undefined;
  try {
    database = new DatabaseSync(file, { readOnly: true });
    const found = database
      .prepare('pragma integrity_check(20)')
      .all()
      .map((row) => String(row.integrity_check));
    for (const what of found) if (what !== 'ok') damaged(undefined, what);
    format = formatOf(database);
    if (format === undefined) damaged('facts', 'the format cannot be read');
    else if (format > TABLES_FORMAT)
      problems.push({ kind: 'format', table: undefined, what: `format ${format} is newer` });
    else checkRows(database, format, ring, rows, problems);
  } catch (error) {
    damaged(undefined, (error as Error).message);
  } finally {
    close(database);
  }
  return { file, format, rows, problems };
}

function checkRows(
  database: DatabaseSync,
  format: number,
  ring: KeyRing | undefined,
  rows: Record<string, number>,
  problems: TablesProblem[],
): void {
  const tables = database
    .prepare(`select name from sqlite_schema where type = 'table' and name not like 'sqlite_%' order by name`)
    .all()
    .map((row) => String(row.name));
  const attempt = (table: string | undefined, work: () => void): void => {
    try {
      work();
    } catch (error) {
      problems.push({ kind: 'damaged', table, what: (error as Error).message });
    }
  };
  for (const table of tables) {
    attempt(table, () => {
      rows[table] = Number(database.prepare(`select count(*) as n from "${table}" not indexed`).get()?.n);
    });
  }
  for (const { table, needs, what, count } of invariants) {
    if (![table, ...needs].every((name) => tables.includes(name))) continue;
    attempt(table, () => {
      const wrong = Number(database.prepare(count).get()?.n);
      if (wrong > 0) problems.push({ kind: 'rows', table, what: `${wrong} ${what}` });
    });
  }
  for (const table of missingTables(tables, format))
    problems.push({ kind: 'damaged', table, what: 'the table is missing' });
  if (ring !== undefined) attempt(undefined, () => checkSealed(database, createKeyCipher(ring), tables, problems));
}

/** Each table, and the format that it came with. */
const tablesSince: Readonly<Record<string, number>> = {
  facts: 1,
  identities: 1,
  identity_counts: 1,
  policies: 1,
  consumer_groups: 1,
  subscriptions: 1,
  command_queues: 2,
  commands: 2,
  command_messages: 2,
  command_receipts: 2,
  authorities: 3,
  authority_intermediates: 3,
  presence_states: 4,
  twins: 5,
  twin_documents: 5,
  twin_patches: 5,
  twin_events: 5,
  secrets: 5,
  file_uploads: 5,
  file_notifications: 5,
  file_grants: 5,
  file_rollouts: 5,
  file_rollout_targets: 5,
  registry_jobs: 6,
  registry_job_errors: 6,
  jobs: 6,
  job_devices: 6,
  configurations: 6,
  configuration_counts: 6,
  configuration_marks: 6,
  configuration_facts: 6,
  configuration_turn: 6,
  configured: 6,
  route_sets: 6,
  route_cursors: 6,
  route_rows: 6,
};

/** Tables that a database of the format lacks. */
function missingTables(tables: readonly string[], format: number): readonly string[] {
  return Object.keys(tablesSince).filter((name) => tablesSince[name] <= format && !tables.includes(name));
}

/** Every sealed text, by table: its context is what `stores/tables` seals it with. */
export function* sealedTexts(database: DatabaseSync): Generator<SealedText> {
  for (const table of ['identities', 'policies'] as const) {
    for (const row of database.prepare(`select * from ${table} not indexed`).iterate()) {
      for (const column of ['primary_key', 'secondary_key'] as const) {
        if (row[column] === null) continue;
        const names = table === 'policies' ? [String(row.name)] : [String(row.device_id), String(row.module_id)];
        yield { table, names, column, sealed: String(row[column]), context: [table, ...names, column] };
      }
    }
  }
}

export interface SealedText {
  readonly table: 'identities' | 'policies';
  readonly names: readonly string[];
  readonly column: 'primary_key' | 'secondary_key';
  readonly sealed: string;
  readonly context: readonly string[];
}

function checkSealed(
  database: DatabaseSync,
  cipher: KeyCipher,
  tables: readonly string[],
  problems: TablesProblem[],
): void {
  const check = tables.includes('facts')
    ? database.prepare(`select value from facts where name = 'key_check'`).get()?.value
    : undefined;
  const opens = (sealed: string, context: readonly string[]): boolean => {
    try {
      cipher.open(sealed, context);
      return true;
    } catch {
      return false;
    }
  };
  if (check === undefined || !opens(String(check), ['facts', 'key_check'])) {
    problems.push({ kind: 'key', table: 'facts', what: KEY_CHECK_PROBLEM });
  }
  const counts = new Map<string, number>();
  for (const { table, sealed, context } of sealedTexts(database)) {
    if (!opens(sealed, context)) counts.set(table, (counts.get(table) ?? 0) + 1);
  }
  for (const [table, count] of counts) problems.push({ kind: 'key', table, what: `${count} sealed keys do not open` });
}

function formatOf(database: DatabaseSync): number | undefined {
  const value = Number(database.prepare(`select value from facts where name = 'format'`).get()?.value);
  return Number.isInteger(value) && value > 0 ? value : undefined;
}

function close(database: DatabaseSync | undefined): void {
  try {
    database?.close();
  } catch {
    // A damaged log beside the file cannot be folded in; what was found is told already.
  }
}
