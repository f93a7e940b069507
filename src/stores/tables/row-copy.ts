/** The rows of all tables, as they are taken out of one engine and put into another. */

export interface CopiedTable {
  readonly name: string;
  readonly columns: readonly string[];
  /** The last number that the engine has given, where it counts a column of the table up by itself. */
  readonly counted?: { readonly column: string; readonly last: number };
}

/** Values in the order of the table's columns. */
export type CopiedRow = readonly (string | number | Uint8Array | null)[];

export interface RowSource {
  /** As `TABLES_FORMAT`. */
  readonly format: number;
  /** The fact `key_check`: which key has sealed everything. */
  readonly keyCheck: string;
  /** Those that others refer to come first. */
  readonly tables: readonly CopiedTable[];
  /** All rows, some at a time, as they are at one moment. */
  rows(table: CopiedTable): AsyncIterable<readonly CopiedRow[]>;
  close(): Promise<void>;
}

/** Facts of the tables that each engine has for itself: they are not copied. */
export const factsOfEngine: readonly string[] = ['format', 'generation', 'export', 'twin_events_begun'];
/** What nodes say of themselves while they run: none of them does while everything is copied. */
export const tablesOfNodes: readonly string[] = [
  ...['places', 'nodes', 'receivers', 'node_notices', 'node_duties'],
  // Goes along in `identity_counts`.
  'identity_count_parts',
];
/** The fact that stands in tables into which an export is under way, or has not come to its end. */
export const EXPORT_FACT = 'export';

/** Told while rows are copied. */
export type RowProgress = (table: string, rows: number) => void;

/** @throws Error a table has rows and is unknown to the target, or lacks a column there */
export function commonTables(
  source: RowSource,
  target: ReadonlyMap<string, readonly string[]>,
): readonly CopiedTable[] {
  return source.tables.map((table) => {
    const columns = target.get(table.name);
    const missing = table.columns.filter((column) => columns?.includes(column) !== true);
    if (missing.length === 0) return table;
    const what = columns === undefined ? 'is not known there' : `has no column ${missing.join(', ')} there`;
    throw new Error(`The table ${table.name} cannot be copied: it ${what}. Export with the program that wrote it.`);
  });
}

/** Without what each engine has for itself. */
export function copiedRows({ name, columns }: CopiedTable, rows: readonly CopiedRow[]): readonly CopiedRow[] {
  if (name !== 'facts') return rows;
  const at = columns.indexOf('name');
  return rows.filter((row) => !factsOfEngine.includes(String(row[at])));
}
