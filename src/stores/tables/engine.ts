import type { Dialect, DialectAdapter, Kysely } from 'kysely';
import { assert } from '../../base/assert.ts';
import type { EngineName } from './formats/counted-key.ts';
import type { Tables } from './schema.ts';

/** What the tables must know of the database that they live in, declared by the store that opens it. */
export interface Engine {
  /** By which the migrations choose what the two write differently. */
  readonly name: EngineName;
  /** Transactions run beside each other, and rows can be held. Without it there is one writer at a time, and no need. */
  readonly locksRows: boolean;
  /** A value inside of a text that is JSON can be asked for, by `->` and `->>` and a path that begins with `$`. */
  readonly looksIntoJson?: true;
  /** Of an engine that runs on the caller's own thread. */
  readonly direct?: DirectStatements;
}

/** Statements that are carried out at once, past the query builder and its promises. */
export interface DirectStatements {
  /** @param sql with `?` in the place of each parameter; kept prepared, so of few texts @returns the rows */
  all(sql: string, parameters: readonly (string | number)[]): readonly unknown[];
}

type DeclaredAdapter = DialectAdapter & { readonly engine?: Engine };

/** The dialect, which carries what its database is. */
export function declaring(engine: Engine, dialect: Dialect): Dialect {
  return {
    createAdapter: () => Object.assign(dialect.createAdapter(), { engine }),
    createDriver: () => dialect.createDriver(),
    createIntrospector: (db) => dialect.createIntrospector(db),
    createQueryCompiler: () => dialect.createQueryCompiler(),
  };
}

export function engineOf(tables: Kysely<Tables>): Engine {
  const { engine } = tables.getExecutor().adapter as DeclaredAdapter;
  assert(engine !== undefined, 'the store that opens a database declares its engine');
  return engine;
}

/** Undefined = the builder it is. For what is done thousands of times a second: the builder costs more than SQLite itself. */
export function directOf(tx: Kysely<Tables>): DirectStatements | undefined {
  return engineOf(tx).direct;
}

/** The text with `$1`, `$2` and so on in the place of each `?`, as PostgreSQL has its parameters. */
export function numbered(sql: string): string {
  let nth = 0;
  return sql.replaceAll('?', () => `$${++nth}`);
}

interface Lockable {
  forUpdate(): this;
  skipLocked(): this;
}

/**
 * Holds the rows that the query finds until the transaction ends, where others could change them meanwhile. `skip`: leave
 * out those that another transaction holds, instead of waiting for them.
 */
export function lockingRows<Query extends Lockable>(tx: Kysely<Tables>, query: Query, skip = false): Query {
  if (!engineOf(tx).locksRows) return query;
  return skip ? query.forUpdate().skipLocked() : query.forUpdate();
}

/** Keeps others from deleting the rows that the query finds until the transaction ends; they may be read and changed. */
export function keepingRows<Query extends { forKeyShare(): Query }>(tx: Kysely<Tables>, query: Query): Query {
  return engineOf(tx).locksRows ? query.forKeyShare() : query;
}

/** The list with its last entry repeated up to the next power of two: few lengths mean few prepared statements. */
export function padded<Value>(list: readonly Value[]): readonly Value[] {
  const length = 2 ** Math.ceil(Math.log2(list.length));
  return [...list, ...new Array<Value>(length - list.length).fill(list[list.length - 1])];
}
