/** `node:sqlite` as the tables need it: durable commits, checked after every open, and Kysely on top. */
import { closeSync, openSync } from 'node:fs';
import path from 'node:path';
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import { Kysely, SqliteDialect, type SqliteStatement } from 'kysely';
import { type DirectStatements, declaring } from '../../tables/engine.ts';
import type { Tables } from '../../tables/schema.ts';
import { syncFolder } from '../sync-folder.ts';

/** Prepared statements that are kept; the operations need fewer, so this bounds what should not happen. */
const STATEMENTS_MAX = 256;
const SYNCHRONOUS_FULL = 2;
/** Another process may hold the file for a moment, for a copy; a second hub is refused by the data folder's lock. */
const BUSY_TIMEOUT_MS = 5000;

/**
 * Opens the file, or makes it, readable for this user only.
 * @throws Error when the file is no database, or when commits would not be synced.
 */
export function openDatabase(file: string): DatabaseSync {
  closeSync(openSync(file, 'a', 0o600));
  syncFolder(path.dirname(file));
  const database = new DatabaseSync(file);
  try {
    database.exec(`pragma busy_timeout = ${BUSY_TIMEOUT_MS}`);
    database.exec('pragma journal_mode = wal');
    database.exec('pragma synchronous = full');
    database.exec('pragma trusted_schema = off');
    // Several bindings quietly fall back on an existing file, and then a power cut loses what was acknowledged.
    const mode = pragma(database, 'journal_mode');
    const synchronous = pragma(database, 'synchronous');
    if (mode !== 'wal' || synchronous !== SYNCHRONOUS_FULL) {
      throw new Error(`commits would not be durable here (journal_mode ${mode}, synchronous ${synchronous})`);
    }
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

/** Kysely over the open database. The caller begins and commits by the database itself. */
export function kyselyOver(database: DatabaseSync): Kysely<Tables> {
  const statements = new Map<string, SqliteStatement>();
  const prepare = (sql: string): SqliteStatement => {
    let statement = statements.get(sql);
    if (statement === undefined) {
      if (statements.size >= STATEMENTS_MAX) statements.clear();
      statement = adapt(database.prepare(sql));
      statements.set(sql, statement);
    }
    return statement;
  };
  const dialect = new SqliteDialect({ database: { prepare, close: () => database.close() } });
  const direct: DirectStatements = { all: (sql, parameters) => prepare(sql).all(parameters) };
  return new Kysely<Tables>({
    dialect: declaring({ name: 'sqlite', locksRows: false, looksIntoJson: true, direct }, dialect),
  });
}

/** Kysely wants the face of better-sqlite3 and passes the parameters as one array. */
function adapt(statement: StatementSync): SqliteStatement {
  return {
    reader: statement.columns().length > 0,
    all: (parameters) => statement.all(...(parameters as SQLInputValue[])),
    run: (parameters) => statement.run(...(parameters as SQLInputValue[])),
    iterate: (parameters) => statement.iterate(...(parameters as SQLInputValue[])),
  };
}

function pragma(database: DatabaseSync, name: string): unknown {
  return database.prepare(`pragma ${name}`).get()?.[name];
}
