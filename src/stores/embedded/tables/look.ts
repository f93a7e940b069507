/** What the start looks at before it believes the tables. */
import { statSync } from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';

/** Whether whoever wrote the tables last did not close them: a stop leaves nothing in the write-ahead log. */
export function wasLeftUnfinished(file: string): boolean {
  return (statSync(`${file}-wal`, { throwIfNoEntry: false })?.size ?? 0) > 0;
}

/**
 * Looks at one table after the other, with its indices, until the time is over; a table that was begun is finished.
 * @throws Error that says what is damaged and what to do
 */
export function lookForDamage(database: DatabaseSync, boundMs: number): void {
  const end = performance.now() + boundMs;
  try {
    const tables = database.prepare(`select name from sqlite_schema where type = 'table' order by name`).all();
    for (const { name } of tables) {
      if (performance.now() > end) return;
      const said = database.prepare(`pragma quick_check('${String(name).replaceAll("'", "''")}')`).get();
      const word = Object.values(said ?? {})[0];
      if (word !== 'ok') throw new Error(`table ${name}: ${word}`);
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
