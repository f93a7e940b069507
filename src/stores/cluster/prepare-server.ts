/** What a database must be before tables are made in it. */
import { sql } from 'kysely';
import { readFact } from '../tables/migrations.ts';
import { EXPORT_FACT } from '../tables/row-copy.ts';
import type { Transaction } from '../tables/schema.ts';

/** Any number: it stands for "the format of these tables", so that two nodes do not change it at the same time. */
export const FORMAT_LOCK = 0x4d4f4f52;

/** A user who may not make one can use what is there. */
export async function ensureSchema(tx: Transaction, schema: string): Promise<void> {
  const { rows } = await sql`select 1 from pg_namespace where nspname = ${schema}`.execute(tx);
  if (rows.length === 0) await sql`create schema ${sql.id(schema)}`.execute(tx);
}

export async function checkServer(tx: Transaction): Promise<void> {
  const { rows } = await sql<{ durable: string; collation: string }>`
    select current_setting('synchronous_commit') as durable, datcollate as collation
    from pg_database where datname = current_database()`.execute(tx);
  const [{ durable, collation }] = rows;
  if (durable === 'off') {
    throw new Error('PostgreSQL has synchronous_commit off: it would lose what was acknowledged. Set it to on.');
  }
  // Pages of devices go on behind an id, in the order of bytes that SQLite has as well.
  if (!['C', 'POSIX', 'C.UTF-8', 'C.utf8'].includes(collation)) {
    throw new Error(
      `The PostgreSQL database orders texts by ${collation}, and the hub needs the order of bytes. ` +
        "Make one with: create database mooring template template0 encoding 'UTF8' locale 'C'",
    );
  }
}

/** @throws Error an export into these tables is under way, or has not come to its end */
export async function refuseUnfinished(tx: Transaction, schema: string): Promise<void> {
  const { rows } = await sql`
    select 1 from information_schema.tables where table_schema = ${schema} and table_name = 'facts'`.execute(tx);
  if (rows.length > 0 && (await readFact(tx, EXPORT_FACT)) !== undefined) throw new Error(unfinished(schema));
}

/** What is said then. */
export const unfinished = (schema: string): string =>
  `An export into the schema ${schema} of PostgreSQL did not come to its end. Remove what it has made (drop schema ${schema} cascade, ` +
  'and the two topics of Kafka), and export again.';
