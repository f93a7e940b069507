import { type Kysely, PostgresAdapter } from 'kysely';
import type { Tables } from './schema.ts';

/** The two databases that the tables live in. SQLite has one writer at a time; PostgreSQL has many, and locks rows. */
export type Engine = 'sqlite' | 'postgres';

export function engineOf(tables: Kysely<Tables>): Engine {
  return tables.getExecutor().adapter instanceof PostgresAdapter ? 'postgres' : 'sqlite';
}

interface Lockable {
  forUpdate(): this;
  skipLocked(): this;
}

/**
 * Holds the rows that the query finds until the transaction ends, where others could change them meanwhile. `skip`: leave
 * out those that somebody else holds, instead of waiting for them.
 */
export function lockingRows<Query extends Lockable>(tx: Kysely<Tables>, query: Query, skip = false): Query {
  if (engineOf(tx) === 'sqlite') return query;
  return skip ? query.forUpdate().skipLocked() : query.forUpdate();
}

/** Keeps others from deleting the rows that the query finds until the transaction ends; they may be read and changed. */
export function keepingRows<Query extends { forKeyShare(): Query }>(tx: Kysely<Tables>, query: Query): Query {
  return engineOf(tx) === 'sqlite' ? query : query.forKeyShare();
}

/** The list with its last entry repeated up to the next power of two: few lengths mean few prepared statements. */
export function padded<Value>(list: readonly Value[]): readonly Value[] {
  const length = 2 ** Math.ceil(Math.log2(list.length));
  return [...list, ...new Array<Value>(length - list.length).fill(list[list.length - 1])];
}
