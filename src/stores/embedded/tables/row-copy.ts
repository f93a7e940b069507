/** All rows of a SQLite file that no hub has open, and a new file made of rows from elsewhere. */
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { Clock } from '../../../base/clock.ts';
import type { Log } from '../../../base/log.ts';
import type { KeyRing } from '../../tables/key-cipher.ts';
import { KEY_CHECK } from '../../tables/prepare.ts';
import {
  type CopiedRow,
  type CopiedTable,
  commonTables,
  copiedRows,
  type RowProgress,
  type RowSource,
} from '../../tables/row-copy.ts';
import { openEmbeddedTables } from './tables.ts';

const PAGE_ROWS = 500;

/** @throws Error the file cannot be read as the tables of a hub */
export function openSqliteRows(file: string): RowSource {
  const database = new DatabaseSync(file, { readOnly: true });
  try {
    // One moment for all tables.
    database.exec('begin');
    const factOf = (name: string): unknown =>
      database.prepare('select value from facts where name = ?').get(name)?.value;
    return {
      format: Number(factOf('format')),
      keyCheck: String(factOf(KEY_CHECK.fact)),
      tables: parentsFirst(database, tablesOf(database)),
      rows: (table) => pages(database, table),
      close: async () => database.close(),
    };
  } catch (error) {
    database.close();
    throw error;
  }
}

async function* pages(database: DatabaseSync, { name, columns }: CopiedTable): AsyncGenerator<readonly CopiedRow[]> {
  const statement = database.prepare(`select ${columns.map(quoted).join(', ')} from ${quoted(name)}`);
  let page: CopiedRow[] = [];
  for (const row of statement.iterate()) {
    page.push(columns.map((column) => row[column] as CopiedRow[number]));
    if (page.length < PAGE_ROWS) continue;
    yield page;
    page = [];
  }
  if (page.length > 0) yield page;
}

function tablesOf(database: DatabaseSync): CopiedTable[] {
  const names = database
    .prepare(`select name from sqlite_schema where type = 'table' and name not like 'sqlite_%' order by name`)
    .all()
    .map((row) => String(row.name));
  return names.map((name) => {
    const columns = database.prepare(`select name, pk from pragma_table_info(?)`).all(name);
    const last = database.prepare('select seq from sqlite_sequence where name = ?').get(name)?.seq;
    const key = columns.find(({ pk }) => pk === 1);
    return {
      name,
      columns: columns.map((column) => String(column.name)),
      ...(last !== undefined && key !== undefined && { counted: { column: String(key.name), last: Number(last) } }),
    };
  });
}

function parentsFirst(database: DatabaseSync, tables: readonly CopiedTable[]): readonly CopiedTable[] {
  const ordered = new Set<CopiedTable>();
  const add = (table: CopiedTable): void => {
    const parents = database
      .prepare('select distinct "table" as parent from pragma_foreign_key_list(?)')
      .all(table.name);
    for (const { parent } of parents) {
      const found = tables.find(({ name }) => name === parent);
      if (found !== undefined && found !== table && !ordered.has(found)) add(found);
    }
    ordered.add(table);
  };
  for (const table of tables) add(table);
  return [...ordered];
}

export interface SqliteLoad {
  /** Must not be there. */
  readonly file: string;
  /** The first key seals from now on; the others are those of the source. */
  readonly ring: KeyRing;
  readonly log: Log;
  readonly clock: Clock;
  readonly progress: RowProgress;
}

/** @returns the generation of the new tables @throws Error that says what to do */
export async function loadSqlite(source: RowSource, { file, ring, log, clock, progress }: SqliteLoad): Promise<string> {
  mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
  const made = await openEmbeddedTables({ file, cipher: ring, log, clock });
  await made.close();
  const database = new DatabaseSync(file, { enableForeignKeyConstraints: false });
  try {
    database.exec('begin immediate');
    const target = new Map(tablesOf(database).map(({ name, columns }) => [name, columns]));
    for (const table of commonTables(source, target)) await copyTable(database, source, table, progress);
    database.exec('commit');
  } finally {
    database.close();
  }
  // Seals everything with the first key of the ring, if it is not yet.
  const tables = await openEmbeddedTables({ file, cipher: ring, generation: made.generation, log, clock });
  await tables.close();
  return tables.generation;
}

async function copyTable(
  database: DatabaseSync,
  source: RowSource,
  table: CopiedTable,
  progress: RowProgress,
): Promise<void> {
  const { name, columns, counted } = table;
  database.exec(
    name === 'facts' ? `delete from facts where name not in ('format', 'generation')` : `delete from ${quoted(name)}`,
  );
  const places = columns.map(() => '?').join(', ');
  const insert = database.prepare(`insert into ${quoted(name)} (${columns.map(quoted).join(', ')}) values (${places})`);
  let rows = 0;
  for await (const page of source.rows(table)) {
    for (const row of copiedRows(table, page)) insert.run(...row);
    rows += page.length;
    progress(name, rows);
  }
  if (counted === undefined) return;
  database.prepare('delete from sqlite_sequence where name = ?').run(name);
  database.prepare('insert into sqlite_sequence (name, seq) values (?, ?)').run(name, counted.last);
}

const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`;
