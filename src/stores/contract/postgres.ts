/** A PostgreSQL for tests, where there is one: `scripts/postgres-for-tests.sh` starts it and sets the variable. */
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import pg from 'pg';
import { type Clock, systemClock } from '../../base/clock.ts';
import { silentLog } from '../../base/log.ts';
import { openPostgresTables, type PostgresTables, type PostgresTablesParts } from '../cluster/postgres.ts';

export interface OpenedPostgres {
  readonly tables: PostgresTables;
  /** A second node on the same tables, with a clock of its own; closed by the caller. */
  another(
    clock?: Clock,
    parts?: Omit<Partial<PostgresTablesParts>, 'schema' | 'cipher' | 'clock'>,
  ): Promise<PostgresTables>;
  /** Where PostgreSQL is. */
  readonly url: string;
  readonly schema: string;
  /** Holds a lock on a whole table until the returned function is called. */
  lock(table: string): Promise<() => Promise<void>>;
  /** Carries out statements on the tables, as another program would. */
  query(text: string): Promise<void>;
  /** The rows of a query, as another program would see them. */
  read(text: string): Promise<readonly Readonly<Record<string, unknown>>[]>;
  /** Closes, and removes the tables. */
  close(): Promise<void>;
}

/** Runs `suites` against PostgreSQL, or says by name that they are skipped. */
export function withPostgres(name: string, suites: (open: () => Promise<OpenedPostgres>) => void): void {
  const url = process.env.MOORING_TEST_POSTGRES;
  if (url === undefined) {
    const reason = 'MOORING_TEST_POSTGRES is not set: run it by scripts/postgres-for-tests.sh';
    process.stderr.write(`SKIPPED: ${name} over PostgreSQL (${reason})\n`);
    test(`${name} over PostgreSQL`, { skip: reason }, () => {});
    return;
  }
  suites(() => openPostgres(url));
}

/** Fresh tables in a schema of their own. */
async function openPostgres(url: string): Promise<OpenedPostgres> {
  const schema = `test_${randomBytes(8).toString('hex')}`;
  const cipher = { keys: [Buffer.alloc(32, 3)], source: 'test' };
  const open: OpenedPostgres['another'] = (clock = systemClock, parts = {}) =>
    openPostgresTables({ url, schema, cipher, log: silentLog, clock, ...parts });
  await query(url, `create schema ${schema}`);
  const tables = await open();
  return {
    tables,
    another: open,
    url,
    schema,
    async lock(table) {
      const client = new pg.Client(url);
      await client.connect();
      await client.query(`begin; lock table ${schema}.${table} in access exclusive mode`);
      return () => client.end();
    },
    query: async (text) => void (await query(url, `set search_path to ${schema}; ${text}`)),
    async read(text) {
      const answers = await query(url, `set search_path to ${schema}; ${text}`);
      return (answers as unknown as readonly pg.QueryResult[])[1].rows;
    },
    async close() {
      await tables.close();
      await query(url, `drop schema ${schema} cascade`);
    },
  };
}

async function query(url: string, text: string): Promise<unknown> {
  const client = new pg.Client(url);
  await client.connect();
  const answer = await client.query(text);
  await client.end();
  return answer;
}
