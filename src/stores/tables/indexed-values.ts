/**
 * Devices by an indexed value of their documents: what SQLite and PostgreSQL write differently. An index is used only where its
 * expression is spelled as it was made, so that one function makes both.
 */
import { type RawBuilder, sql } from 'kysely';
import { jsonValue } from './document-paths.ts';
import type { EngineName } from './formats/counted-key.ts';

/** Characters of a value that PostgreSQL's index holds: a longer entry would not fit, and the write would fail. */
const INDEXED_CHARS = 256;

/** Whether PostgreSQL reads the document as JSON: not with U+0000 or half a surrogate pair, which JSON writes as escapes. */
const isReadable = (column: string): string => `strpos(${column}, '\\u0000') = 0 and strpos(${column}, '\\ud') = 0`;

/** The indexed expression over the column of documents. @param place As `documentPath` */
export function indexedExpression(engine: EngineName, column: string, place: string): string {
  if (engine === 'sqlite') return jsonValue(column, place);
  const value = `${column}::json #>> '${arrayText(place)}'`;
  return `left(case when ${isReadable(column)} then ${value} end, ${INDEXED_CHARS})`;
}

/** Documents that no index of PostgreSQL knows: few, with an index of their own. */
export const unreadable = (column: string): string => `not (${isReadable(column)})`;

/** Ids of the next devices that have the value, or perhaps have it, in order. */
export function devicesByValue(
  engine: EngineName,
  { place, value }: { readonly place: string; readonly value: string | number | boolean },
  { after, countMax }: { readonly after: string; readonly countMax: number },
): RawBuilder<{ readonly device_id: string }> {
  const behind = sql`text.module_id = '' and text.device_id > ${after} order by text.device_id limit ${countMax}`;
  const expression = sql.raw(indexedExpression(engine, 'text.document', place));
  if (engine === 'sqlite') {
    const bound = typeof value === 'boolean' ? Number(value) : value;
    return sql`select text.device_id from twin_documents as text where ${expression} = ${bound} and ${behind}`;
  }
  const bound = [...String(value)].slice(0, INDEXED_CHARS).join('');
  return sql`select found.device_id from (
      (select text.device_id from twin_documents as text where ${expression} = ${bound} and ${behind})
      union all
      (select text.device_id from twin_documents as text where ${sql.raw(unreadable('text.document'))} and ${behind})
    ) as found order by found.device_id limit ${countMax}`;
}

/** A place as a literal of an array of texts. */
function arrayText(place: string): string {
  const names = [...place.matchAll(/\.("(?:[^"\\]|\\.)*")|\[(\d+)\]/g)].map(([, name, at]) =>
    name === undefined ? at : String(JSON.parse(name)),
  );
  const quoted = names.map((name) => `"${name.replaceAll(/["\\]/g, '\\$&')}"`);
  return `{${quoted.join(',')}}`.replaceAll("'", "''");
}
