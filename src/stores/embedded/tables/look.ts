/** Looks for damage in the tables: what the start does before it believes them, and what the hub does now and then (`look-worker.ts`). */
import { statSync } from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';

/** What SQLite says of pages that cannot be as it wrote them (SQLITE_CORRUPT, SQLITE_NOTADB). */
export const damagePattern = /malformed|file is not a database/;

/** Whether the last writer of the tables did not close them: a stop leaves nothing in the write-ahead log. */
export function wasLeftUnfinished(file: string): boolean {
  return (statSync(`${file}-wal`, { throwIfNoEntry: false })?.size ?? 0) > 0;
}

export function tableNames(database: DatabaseSync): readonly string[] {
  const rows = database.prepare(`select name from sqlite_schema where type = 'table' order by name`).all();
  return rows.map(({ name }) => String(name));
}

/** Checks the pages of a table and of its indices. @returns what is wrong; undefined = nothing */
export function checkTable(database: DatabaseSync, name: string): string | undefined {
  const said = database.prepare(`pragma quick_check('${name.replaceAll("'", "''")}')`).get();
  const word = Object.values(said ?? {})[0];
  return word === 'ok' ? undefined : String(word);
}

/**
 * Looks at one table after the other, with its indices, until the time is over; a table that was begun is finished.
 * @throws Error that says what is damaged and what to do
 */
export function lookForDamage(database: DatabaseSync, boundMs: number): void {
  const end = performance.now() + boundMs;
  try {
    for (const name of tableNames(database)) {
      if (performance.now() > end) return;
      const damage = checkTable(database, name);
      if (damage !== undefined) throw new Error(`table ${name}: ${damage}`);
    }
  } catch (error) {
    throw new Error(
      `the tables are damaged (${(error as Error).message}). ` +
        'Run mooring data check: it says what is damaged and what a repair would do. A copy of the folder may be better.',
      { cause: error },
    );
  } finally {
    // The pages that were looked at would fill the cache with what nobody has asked for, and hide later damage.
    database.exec('pragma shrink_memory');
  }
}
