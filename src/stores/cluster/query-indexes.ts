/** Indexes that an operator asks for, over values inside of the twins' documents, in PostgreSQL. Nodes must ask for the same ones. */
import { createHash } from 'node:crypto';
import { sql } from 'kysely';
import { indexedExpression, unreadable } from '../tables/indexed-values.ts';
import type { Transaction } from '../tables/schema.ts';

const PREFIX = 'query_index_';

/** @param places As `documentPath`: those that are to be there; others that were made here before are removed */
export async function ensureQueryIndexes(tx: Transaction, places: readonly string[]): Promise<void> {
  const wanted = new Map(places.map((place) => [nameOf(place), indexedExpression('postgres', 'document', place)]));
  const { rows } = await sql<{ readonly name: string }>`select indexname as name from pg_indexes
    where schemaname = current_schema() and tablename = 'twin_documents'`.execute(tx);
  for (const { name } of rows) {
    if (!name.startsWith(PREFIX) || wanted.delete(name)) continue;
    if (places.length === 0 || name !== UNREADABLE) await sql`drop index ${sql.id(name)}`.execute(tx);
  }
  for (const [name, expression] of wanted) {
    // The devices of one value lie in their order, so that a page goes on behind the last one.
    await sql`create index ${sql.id(name)} on twin_documents (${sql.raw(`(${expression})`)}, device_id, module_id)`.execute(
      tx,
    );
  }
  if (places.length === 0) return;
  await sql`create index if not exists ${sql.id(UNREADABLE)} on twin_documents (device_id, module_id)
    where ${sql.raw(unreadable('document'))}`.execute(tx);
}

const UNREADABLE = `${PREFIX}unreadable`;

/** PostgreSQL cuts longer names. */
const nameOf = (place: string): string => `${PREFIX}${createHash('sha256').update(place).digest('hex').slice(0, 32)}`;
