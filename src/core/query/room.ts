import type { ErrorCode } from '../errors.ts';
import type { Principal } from '../identity/types.ts';
import type { Explanation, FleetPlace } from './ports.ts';

/** Queries of the fleet as doors see them. */
export interface Queries {
  /**
   * One page of a query's rows.
   * @param signal Aborted when the caller has gone
   * @throws HubError ArgumentInvalid (with the place), ThrottlingException, OperationNotOffered, ServiceUnavailable
   */
  page(principal: Principal, query: string, options: PageOptions, signal: AbortSignal): Promise<QueryPage>;
  /** How the first page of a query is found. @throws as `page` */
  explain(principal: Principal, query: string, options: PageOptions, signal: AbortSignal): Promise<Explanation>;
  /**
   * Follows what becomes of a query's rows. Ends with an `end` or when the client has gone; who follows it no more ends the iteration.
   * @param signal Aborted when the client has gone
   * @throws HubError ArgumentInvalid (also of a query that cannot be followed), ThrottlingException, OperationNotOffered
   */
  live(
    principal: Principal,
    query: string,
    options: LiveOptions,
    signal: AbortSignal,
  ): Promise<AsyncIterable<LiveBatch>>;
}

export interface LiveOptions {
  /** `LiveBatch.id` of the last batch that the client has; absent = it has none. */
  readonly after?: string;
}

/**
 * What becomes of the rows of a query. A client that does with its rows what the events say holds at any time the answer to the query as
 * it was a moment ago. A row that the client holds already and that enters again takes the place of the one before; one that leaves and
 * that it does not hold is nothing.
 */
export type LiveEvent =
  /** All rows come anew: the client drops those that it holds. */
  | { readonly kind: 'reset'; readonly why: ResetReason }
  | { readonly kind: 'enter' | 'change'; readonly place: FleetPlace; readonly text: string }
  | { readonly kind: 'leave'; readonly place: FleetPlace }
  /** Behind a reset: these were all. */
  | { readonly kind: 'ready'; readonly count: number }
  /** Nothing comes any more. */
  | { readonly kind: 'end'; readonly code: ErrorCode; readonly message: string };

/** `behind`: the client has read too slowly; `forgotten`: it has come back too late, or to another run of the hub. */
export type ResetReason = 'new' | 'behind' | 'forgotten';

export interface LiveBatch {
  /** None = the client hears that nothing has happened. */
  readonly events: readonly LiveEvent[];
  /** Names where the client is when it has this batch; absent while rows come anew. */
  readonly id?: string;
}

export interface PageOptions {
  /** A wish: from 1 to `limits.queryPageMax`; absent = `limits.queryPageDefault`. */
  readonly countMax?: number;
  /** Of the page before; absent = the first one. */
  readonly continuation?: string;
}

export interface QueryPage {
  /** `Twin`: whole twins, as they are read one by one; `DeviceJob`: whole records of jobs. */
  readonly itemType: 'Twin' | 'DeviceJob' | 'Raw';
  /** A JSON array. */
  readonly text: string;
  readonly count: number;
  /** Absent = there is nothing behind it. */
  readonly continuation?: string;
}
