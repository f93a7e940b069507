/** The tables of routes, as `schema.ts` has them. */

export interface RouteSetRow {
  /** `current`. */
  name: string;
  number: number;
  /** JSON, `RouteSet`, sealed: endpoints hold secrets. */
  declaration: string;
}

export interface RouteCursorRow {
  /** In small letters. */
  endpoint: string;
  /** Number of the set in which the endpoint came. */
  since: number;
  partition_number: number;
  /** The first record that is not delivered yet. */
  sequence: number;
  /** Who holds it; empty = nobody. */
  node: string;
  fence: number;
  held_until: number;
}

/** Something of the owner's beside a cursor. */
export interface RouteExtraRow {
  endpoint: string;
  partition_number: number;
  row_key: string;
  value: string;
}
