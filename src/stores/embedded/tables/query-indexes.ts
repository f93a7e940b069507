/** Indexes that an operator asks for, over values inside of the twins' documents. Made and removed when the tables are opened. */
import type { DatabaseSync } from 'node:sqlite';
import { indexedExpression } from '../../tables/indexed-values.ts';

const PREFIX = 'query_index ';

/** @param places As `documentPath` names them: those that are to be there; others that were made here before are removed. */
export function ensureQueryIndexes(database: DatabaseSync, places: readonly string[]): void {
  const wanted = new Map(places.map((place) => [`${PREFIX}${place}`, place]));
  const rows = database.prepare(`select name from sqlite_schema where type = 'index'`).all();
  const found = rows.map(({ name }) => String(name)).filter((name) => name.startsWith(PREFIX));
  for (const name of found) if (!wanted.delete(name)) database.exec(`drop index ${quoted(name)}`);
  for (const [name, place] of wanted) {
    // The devices of one value lie in their order, so that a page goes on behind the last one.
    database.exec(
      `create index ${quoted(name)} on twin_documents (${indexedExpression('sqlite', 'document', place)}, device_id, module_id)`,
    );
  }
}

const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`;
