/** Queries that are asked again and again of single rows, over tables. */
import { limits } from '../../base/limits.ts';
import { MatchSize, RowMatching } from '../../core/query/matching.ts';
import type { FleetPlace, MatchedPiece, RowAsk, RowMatch } from '../../core/query/ports.ts';
import type { Query } from '../../core/query/syntax.ts';
import { fleetReader, type ReaderOptions } from './fleet.ts';
import { rowsAt } from './fleet-rows.ts';
import type { Transaction } from './schema.ts';

export class TableMatching {
  readonly #tables: Transaction;
  readonly #indexes: ReaderOptions['indexes'];
  readonly #matching = new RowMatching();

  constructor(tables: Transaction, indexes?: ReaderOptions['indexes']) {
    this.#tables = tables;
    this.#indexes = indexes;
  }

  add(id: number, query: Query): void {
    this.#matching.add(id, query);
  }

  remove(id: number): void {
    this.#matching.remove(id);
  }

  /** As `FleetMatcher.match`. @param now UTC milliseconds */
  async match(asks: readonly RowAsk[], now: number): Promise<readonly (readonly RowMatch[])[]> {
    const matches: (readonly RowMatch[])[] = [];
    const size = new MatchSize();
    while (matches.length < asks.length && !size.isFull) {
      const some = asks.slice(matches.length, matches.length + ROWS_PER_READ);
      const places = some.map(({ place }) => place);
      const rows = await rowsAt(this.#tables, places, { paths: this.#matching.paths, now });
      const byName = new Map(rows.map((row) => [nameOf(row.place), row]));
      for (const { place, parts } of some) {
        if (size.isFull) break;
        const row = byName.get(nameOf(place));
        const found = row === undefined ? [] : this.#matching.match(row, parts);
        size.add(found);
        matches.push(found);
      }
    }
    return matches;
  }

  /** As `FleetMatcher.piece`. */
  async piece(id: number, after: FleetPlace | undefined, now: number): Promise<MatchedPiece> {
    const query = this.#matching.query(id);
    if (query === undefined) return { rows: [] };
    const options = { now, ...(this.#indexes && { indexes: this.#indexes }) };
    const reader = fleetReader(this.#tables, { query, countMax: limits.querySliceRows }, options);
    return this.#matching.piece(id, reader, after);
  }
}

/** As many as one statement reads. */
const ROWS_PER_READ = 64;

/** Neither id holds a slash. */
const nameOf = ({ deviceId, moduleId }: FleetPlace): string => `${deviceId}/${moduleId}`;
