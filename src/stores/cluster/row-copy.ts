/** All rows of a schema in PostgreSQL, and a new schema made of rows from elsewhere. */
import { CompiledQuery, Kysely, PostgresDialect, sql } from 'kysely';
import pg from 'pg';
import { limits } from '../../base/limits.ts';
import { declaring } from '../tables/engine.ts';
import { createKeyCipher, type KeyRing } from '../tables/key-cipher.ts';
import { readFact, writeFact } from '../tables/migrations.ts';
import { KEY_CHECK, prepareTables } from '../tables/prepare.ts';
import {
  type CopiedRow,
  type CopiedTable,
  commonTables,
  copiedRows,
  EXPORT_FACT,
  factsOfEngine,
  type RowProgress,
  type RowSource,
  tablesOfNodes,
} from '../tables/row-copy.ts';
import type { Tables, Transaction } from '../tables/schema.ts';
import { DatabaseServers } from './database-servers.ts';
import { checkServer, ensureSchema, FORMAT_LOCK, unfinished } from './prepare-server.ts';

export interface PostgresPlace {
  /** Never logged. */
  readonly url: string;
  readonly schema: string;
}

const INT8 = 20;
const PAGE_ROWS = 500;
/** PostgreSQL takes 65,535 values in a statement. */
const VALUES_MAX = 30_000;

/** @throws Error there are no tables of a hub, or the server cannot be reached */
export async function openPostgresRows({ url, schema }: PostgresPlace): Promise<RowSource> {
  const servers = new DatabaseServers(url);
  const client = new (servers.client())(optionsOf({ url: servers.url, schema }));
  await client.connect();
  try {
    // One moment for all tables.
    await client.query('begin isolation level repeatable read read only');
    const columns = await client.query<{ table_name: string; column_name: string }>(
      `select table_name, column_name from information_schema.columns where table_schema = $1
       order by table_name, ordinal_position`,
      [schema],
    );
    const byTable = Map.groupBy(columns.rows, ({ table_name }) => table_name);
    if (!byTable.has('facts')) throw new Error(`The schema ${schema} of PostgreSQL holds no hub.`);
    const facts = await client.query<{ name: string; value: string }>('select name, value from facts');
    const factOf = (name: string): string | undefined => facts.rows.find((row) => row.name === name)?.value;
    if (factOf(EXPORT_FACT) !== undefined) throw new Error(unfinished(schema));
    const counters = await countersOf(client, schema);
    return {
      format: Number(factOf('format')),
      keyCheck: String(factOf(KEY_CHECK.fact)),
      tables: [...byTable]
        .filter(([name]) => !tablesOfNodes.includes(name))
        .map(([name, rows]) => {
          const counted = counters.get(name);
          return { name, columns: rows.map(({ column_name }) => column_name), ...(counted && { counted }) };
        }),
      rows: (table) => pages(client, table),
      close: () => client.end(),
    };
  } catch (error) {
    await client.end();
    throw error;
  }
}

async function* pages(client: pg.Client, { name, columns }: CopiedTable): AsyncGenerator<readonly CopiedRow[]> {
  const list = columns.map(quoted).join(', ');
  await client.query(`declare rows no scroll cursor for select ${list} from ${rowsOf(name)}`);
  for (;;) {
    const { rows } = await client.query({ text: `fetch ${PAGE_ROWS} from rows`, rowMode: 'array' });
    if (rows.length === 0) break;
    yield rows as unknown as readonly CopiedRow[];
  }
  await client.query('close rows');
}

/** Devices are counted in parts here (`formats/identity-counts.ts`), which others do not have. */
function rowsOf(name: string): string {
  if (name !== 'identity_counts') return quoted(name);
  return `(select status, (whole.count + coalesce((select sum(part.count) from identity_count_parts as part
    where part.status = whole.status), 0))::bigint as count from identity_counts as whole) as counted`;
}

/** The last number given of each table that has a column which the server counts up. */
async function countersOf(
  client: pg.Client,
  schema: string,
): Promise<Map<string, NonNullable<CopiedTable['counted']>>> {
  const { rows } = await client.query<{ table_name: string; column_name: string }>(
    `select table_name, column_name from information_schema.columns where table_schema = $1 and is_identity = 'YES'`,
    [schema],
  );
  const counters = new Map<string, NonNullable<CopiedTable['counted']>>();
  for (const { table_name, column_name } of rows) {
    const sequence = await client.query<{ name: string }>('select pg_get_serial_sequence($1, $2) as name', [
      `${quoted(schema)}.${quoted(table_name)}`,
      column_name,
    ]);
    const last = await client.query<{ last: number }>(
      `select case when is_called then last_value else 0 end as last from ${sequence.rows[0].name}`,
    );
    if (last.rows[0].last > 0) counters.set(table_name, { column: column_name, last: last.rows[0].last });
  }
  return counters;
}

/** A schema into which rows are copied; no hub starts on it before `finish`. */
export interface PostgresLoad {
  /**
   * Copies everything, sealed with the first key of `ring`, in one transaction.
   * @throws Error that says what to do; the schema holds nothing but its mark then
   */
  load(source: RowSource, ring: KeyRing, progress: RowProgress): Promise<void>;
  /** Takes the mark away: a hub may start. */
  finish(): Promise<void>;
  close(): Promise<void>;
}

/** @param began what the mark says, for messages @throws Error the schema holds tables, or the server does not keep its promises */
export async function beginPostgresLoad(place: PostgresPlace, began: string): Promise<PostgresLoad> {
  const { url, schema } = place;
  const servers = new DatabaseServers(url);
  const pool = new pg.Pool({ ...optionsOf({ url: servers.url, schema }), Client: servers.client(), max: 1 });
  pool.on('error', () => {});
  const database = new Kysely<Tables>({
    dialect: declaring({ name: 'postgres', locksRows: true }, new PostgresDialect({ pool })),
  });
  try {
    await database.transaction().execute(async (tx) => {
      await checkServer(tx);
      await sql`select pg_advisory_xact_lock(${FORMAT_LOCK})`.execute(tx);
      await ensureSchema(tx, schema);
      await refuseTables(tx, schema);
      await sql`create table facts (name text not null primary key, value text not null)`.execute(tx);
      await writeFact(tx, EXPORT_FACT, began);
    });
  } catch (error) {
    await database.destroy();
    throw error;
  }
  return {
    load: (source, ring, progress) =>
      database.transaction().execute((tx) => load(tx, { schema, source, ring, progress })),
    finish: async () => {
      await database.deleteFrom('facts').where('name', '=', EXPORT_FACT).execute();
    },
    close: () => database.destroy(),
  };
}

async function refuseTables(tx: Transaction, schema: string): Promise<void> {
  const { rows } = await sql<{ name: string }>`
    select table_name as name from information_schema.tables where table_schema = ${schema}`.execute(tx);
  if (rows.length === 0) return;
  if (rows.some(({ name }) => name === 'facts') && (await readFact(tx, EXPORT_FACT)) !== undefined) {
    throw new Error(unfinished(schema));
  }
  throw new Error(
    `The schema ${schema} of PostgreSQL is not empty (${rows[0].name} …). Name another one with --postgres-schema.`,
  );
}

interface LoadParts {
  readonly schema: string;
  readonly source: RowSource;
  readonly ring: KeyRing;
  readonly progress: RowProgress;
}

async function load(tx: Transaction, { schema, source, ring, progress }: LoadParts): Promise<void> {
  const cipher = createKeyCipher(ring);
  await prepareTables(tx, cipher, ring);
  const { rows: columns } = await sql<{ name: string; column: string }>`
    select table_name as name, column_name as column from information_schema.columns
    where table_schema = ${schema}`.execute(tx);
  const target = new Map(
    [...Map.groupBy(columns, ({ name }) => name)].map(([name, rows]) => [name, rows.map(({ column }) => column)]),
  );
  const tables = commonTables(source, target);
  // Some begin with rows of their own.
  for (const { name } of tables.toReversed()) {
    if (name === 'facts')
      await tx
        .deleteFrom('facts')
        .where('name', 'not in', [...factsOfEngine])
        .execute();
    else await sql.raw(`delete from ${quoted(name)}`).execute(tx);
  }
  for (const table of tables) await copyTable(tx, source, table, progress);
  // Seals everything with the first key of the ring, if it is not yet.
  await prepareTables(tx, cipher, ring);
}

async function copyTable(tx: Transaction, source: RowSource, table: CopiedTable, progress: RowProgress): Promise<void> {
  const { name, columns, counted } = table;
  const head = `insert into ${quoted(name)} (${columns.map(quoted).join(', ')}) overriding system value values `;
  const step = Math.floor(VALUES_MAX / columns.length);
  let copied = 0;
  for await (const page of source.rows(table)) {
    const rows = copiedRows(table, page);
    for (let at = 0; at < rows.length; at += step) {
      const some = rows.slice(at, at + step);
      let nth = 0;
      const places = some.map((row) => `(${row.map(() => `$${++nth}`).join(', ')})`).join(', ');
      await tx.executeQuery(CompiledQuery.raw(head + places, some.flat()));
    }
    copied += page.length;
    progress(name, copied);
  }
  if (counted === undefined) return;
  await sql`select setval(pg_get_serial_sequence(${quoted(name)}, ${counted.column}), ${counted.last})`.execute(tx);
}

function optionsOf({ url, schema }: PostgresPlace): pg.ClientConfig {
  return {
    connectionString: url,
    connectionTimeoutMillis: limits.postgresConnectMs,
    keepAlive: true,
    application_name: 'mooring-export',
    options: `-c search_path=${schema}`,
    types: { getTypeParser: (type, format) => (type === INT8 ? Number : pg.types.getTypeParser(type, format)) },
  };
}

const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`;
