/** What queries need of the stores: pages of the fleet. Plain data goes in and comes out, for it may cross threads. */
import type { FieldPath } from './fields.ts';
import type { Query } from './syntax.ts';
import type { Value } from './values.ts';

/** Where queries read. One contract suite (`stores/contract/fleet.ts`) runs over every implementation. */
export interface FleetStore {
  /**
   * One page of a query. It holds what was durable when the page began, and what became durable meanwhile perhaps. Over all pages
   * no identity comes twice, and none that was there throughout is left out.
   * @param signal The caller has gone
   * @throws HubError ThrottlingException (an aggregate took too long, its groups hold too much, a row is too long), ServiceUnavailable
   */
  page(request: PageRequest, signal: AbortSignal): Promise<FleetPage>;
  /** How a page is found: does the same work, and says what it was. @throws as `page` */
  explain(request: PageRequest, signal: AbortSignal): Promise<Explanation>;
  /** Queries that are asked again and again of single rows. */
  readonly matcher: FleetMatcher;
}

/**
 * Says of rows which of the queries that it knows they pass now. What it says is at least as new as what was durable when it was asked;
 * of two answers, the one that was asked for after the other had come is not older. Rows of whole queries: no groups, no TOP.
 */
export interface FleetMatcher {
  /** Makes a query known, until `remove`. @returns its number */
  add(query: Query): number;
  remove(query: number): void;
  /**
   * In the order of `asks`, of each row what it passes; nothing of one that is not there. Where texts are long, the answer is about
   * the first of them alone, one at least. @throws HubError ServiceUnavailable, ServerError
   */
  match(asks: readonly RowAsk[]): Promise<readonly (readonly RowMatch[])[]>;
  /**
   * What a query finds, piece by piece. @param after Undefined = from the beginning
   * @throws HubError ServiceUnavailable, ServerError, ThrottlingException (a row that is too long)
   */
  piece(query: number, after: FleetPlace | undefined): Promise<MatchedPiece>;
}

export interface RowAsk {
  readonly place: FleetPlace;
  /** `rowParts`: only of queries that hang on one of these. */
  readonly parts: number;
}

/** A query that a row passes, with what it answers. */
export interface RowMatch {
  readonly query: number;
  /** JSON. */
  readonly text: string;
  /** The same of the same text, and of no other. */
  readonly digest: string;
  /** It passes, and its text is too long for this answer: it is to be had by `piece`. */
  readonly isLeftOut?: true;
}

export interface MatchedPiece {
  readonly rows: readonly (Omit<RowMatch, 'query'> & { readonly place: FleetPlace })[];
  /** All up to here were looked at; absent = all. */
  readonly end?: FleetPlace;
}

export interface PageRequest {
  readonly query: Query;
  readonly countMax: number;
  /** Absent = the first page. */
  readonly after?: Cursor;
}

/** How far the pages before have come. `given`: rows that they held, for TOP. */
export type Cursor =
  | { readonly kind: 'row'; readonly place: FleetPlace; readonly given: number }
  | { readonly kind: 'group'; readonly key: string; readonly given: number };

/** A place in the order of the fleet: by device, then by module; '' = the device itself. */
export interface FleetPlace {
  readonly deviceId: string;
  readonly moduleId: string;
}

export interface FleetPage {
  /** A JSON array. */
  readonly text: string;
  readonly count: number;
  /** Absent = the last page. */
  readonly next?: Cursor;
}

/** One twin, as far as it is asked for. */
export interface FleetRow {
  readonly place: FleetPlace;
  value(path: FieldPath): Value;
  /** The whole of it, JSON. */
  text(): string;
}

/** How rows are found: by names that the condition has, by an index, or by looking at one after the other. */
export type ReadWay =
  | { readonly kind: 'names'; readonly count: number }
  | { readonly kind: 'prefix'; readonly prefix: string }
  /** `name`: as the setting `queryIndexes` names it. */
  | { readonly kind: 'index'; readonly name: string }
  | { readonly kind: 'scan' };

export interface Explanation {
  /** One sentence for people. */
  readonly summary: string;
  readonly way: ReadWay;
  /** Rows of the collection that were looked at; of those what the database found to fit perhaps; and of those what the page has. */
  readonly looked: number;
  readonly read: number;
  readonly found: number;
  /** False = the page was full, or its time was over, before the end of the fleet. */
  readonly isWhole: boolean;
  /** Whether twins were read as a whole; else the values alone that the query names. */
  readonly wholeTwins: boolean;
  readonly ms: number;
  /** What the database says of how it reads a piece: its own words. */
  readonly database: readonly string[];
  /** What would find it faster, in sentences; empty = nothing that is known. */
  readonly advice: readonly string[];
}

export interface FleetSlice {
  /** Rows that were looked at for it; absent = as many as there are. */
  readonly looked?: number;
  /** In the order of their places. Such for which the condition can be true: others may be left out. */
  readonly rows: readonly FleetRow[];
  /** All up to here were looked at; absent = all. */
  readonly end?: FleetPlace;
}

/** Reads the collection of a query piece by piece. */
export interface FleetReader {
  /** @param after Undefined = from the beginning */
  read(after: FleetPlace | undefined): FleetSlice | Promise<FleetSlice>;
  readonly way?: ReadWay;
  /** As `Explanation.database`. */
  database?(): Promise<readonly string[]>;
}

/** Is asked between two pieces; waits until it is this query's turn again. */
export interface Pace {
  /** `late`: it has had its time, and ends with what it has. @throws HubError when the caller has gone */
  next(): Promise<'go' | 'late'>;
}
