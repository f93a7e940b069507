import type { PartitionFacts } from '../events/types.ts';
import type { RouteSet } from './types.ts';

/** A record of the event log with what was decided of it when it came. */
export interface RoutedRecord {
  readonly sequence: number;
  /** Enqueued time, UTC milliseconds. */
  readonly time: number;
  /** The record (`wire/amqp/record.ts`): from `start` to `end`. Stays as it is until the batch is released. */
  readonly bytes: Buffer;
  readonly start: number;
  readonly end: number;
  /** Whether readers of the built-in event hub see it. */
  readonly isShown: boolean;
  /** The endpoints that get it: a bit for each, by `PlacedEndpoint.slot`. */
  readonly slots: number;
}

export interface ReadBounds {
  /** Bytes of the log to look through, about; one record at least. */
  readonly bytesMax: number;
  readonly recordsMax: number;
  /** Only records for one of these endpoints; absent = all. */
  readonly slots?: number;
}

export interface RoutedBatch {
  readonly records: readonly RoutedRecord[];
  /** Where reading goes on. Beyond the last record, also when none was for the endpoints asked for. */
  readonly next: number;
  /** Records that retention has taken before they were read. */
  readonly missed: number;
  /** The records' memory is used no more. */
  release(): void;
}

/** The log of events as delivery reads it. */
export interface RoutedLog {
  readonly partitionCount: number;
  partition(partition: number): Promise<PartitionFacts>;
  /** At no cost, as `EventLog.lastKnown`. */
  lastKnown(partition: number): PartitionFacts;
  read(partition: number, fromSequence: number, bounds: ReadBounds): Promise<RoutedBatch>;
  /** Calls `listener` after records became durable. The returned function ends it. */
  watch(partition: number, listener: () => void): () => void;
}

/** Where the routes in force are kept. What an answer says is durable. */
export interface RouteStore {
  /** `noRoutes` before the first one. */
  load(): Promise<RouteSet>;
  /**
   * Puts a set in the place of the one before it, which has a number one lower; in the same step cursors of endpoints that come are
   * made, and those of endpoints that go are removed with all their rows.
   * @param begins Of each partition, where endpoints that come begin
   * @returns false = another set has come meanwhile
   */
  replace(set: RouteSet, begins: readonly number[]): Promise<boolean>;
  /** The number of the set in force. */
  number(): Promise<number>;
}

/** One partition of one endpoint. */
export interface CursorPlace {
  readonly endpoint: string;
  /** As `PlacedEndpoint.since`. */
  readonly since: number;
  readonly partition: number;
}

/** What an owner proves itself by: `fence` grows each time that another node takes the cursor. */
export interface CursorHold extends CursorPlace {
  readonly node: string;
  readonly fence: number;
}

export interface HeldCursor {
  readonly hold: CursorHold;
  /** The first record that is not delivered yet. */
  readonly sequence: number;
}

export interface CursorFacts extends CursorPlace {
  readonly sequence: number;
  /** Empty = nobody. */
  readonly node: string;
}

/** Something of the owner's that is kept beside a cursor, as an archive's list of files. */
export interface CursorRow {
  readonly key: string;
  readonly value: string;
}

export interface CursorStep {
  readonly sequence: number;
  readonly put?: readonly CursorRow[];
  /** Keys. */
  readonly remove?: readonly string[];
}

/**
 * Where the cursors of endpoints are kept. Each call is atomic, and durable when it is answered; times are the caller's, by the store's
 * clock. A cursor belongs to the node that has claimed it, until its lease ends.
 */
export interface CursorStore {
  /**
   * Takes cursors of the endpoint that are free or whose lease has ended, and renews those that `node` holds: `countMax` in all, its own
   * first. @returns all that it holds now
   */
  claim(of: Pick<CursorPlace, 'endpoint' | 'since'>, terms: CursorClaim): Promise<readonly HeldCursor[]>;
  /** Moves a cursor, with rows beside it: all or nothing. @returns false = the hold is lost, and nothing was done */
  save(hold: CursorHold, step: CursorStep): Promise<boolean>;
  /** Lets it go, so that another node need not wait for the lease. */
  release(hold: CursorHold): Promise<void>;
  /** Rows beside a cursor in order of key (by its UTF-16 units where they are ASCII), behind `after`. */
  rows(place: CursorPlace, after: string | undefined, limit: number): Promise<readonly CursorRow[]>;
  /** All cursors, in order of endpoint, which is in small letters here, and partition. */
  list(): Promise<readonly CursorFacts[]>;
}

export interface CursorClaim {
  /** Names the process that asks (`processOf`): what another process of its node holds is free for it at once. */
  readonly node: string;
  readonly now: number;
  readonly leaseMs: number;
  readonly countMax: number;
}

/** An event on its way to an endpoint. */
export interface RoutedEvent extends RoutedRecord {
  /** Properties that are added for this endpoint. */
  readonly enrichments: readonly (readonly [key: string, value: string])[];
}

/** Events of one partition, in order. */
export interface DeliveryBatch {
  readonly partition: number;
  readonly events: readonly RoutedEvent[];
}

/**
 * What became of a batch. `count`: it is about so many events from the first one on, and those behind them come again; absent = all.
 * `refused`: the endpoint will never take them, and they are dropped and counted.
 */
export type Delivered =
  | { readonly kind: 'done'; readonly count?: number }
  | { readonly kind: 'retry'; readonly reason: string; readonly afterMs?: number }
  | { readonly kind: 'refused'; readonly reason: string; readonly count?: number };

/** What takes the events of an endpoint. */
export interface EndpointSink {
  /** How many batches, of different partitions, it takes at a time. */
  readonly inFlightMax: number;
  /** Does not throw; a throw counts as `retry`. The bytes are valid until it has answered. */
  deliver(batch: DeliveryBatch, signal: AbortSignal): Promise<Delivered>;
  close(): Promise<void>;
}
