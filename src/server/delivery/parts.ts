import type { Clock } from '../../base/clock.ts';
import type { Log } from '../../base/log.ts';
import type { CursorStore, EndpointSink, RoutedEvent, RoutedLog, RoutedRecord } from '../../core/routes/ports.ts';
import type { Endpoint } from '../../core/routes/types.ts';
import type { EndpointCondition } from './endpoint-state.ts';

/** What delivery stands on. */
export interface DeliveryParts {
  readonly log: RoutedLog;
  readonly cursors: CursorStore;
  readonly clock: Clock;
  /** The time that the store counts leases by, UTC milliseconds. */
  storeTime(): number;
  /** As `CursorClaim.node`. */
  readonly node: string;
  /** Whether this node may hand events over now: another one may have its part. Absent = always. */
  readonly mayWork?: () => boolean;
  /** From 0 to 1. */
  chance(): number;
  sinkOf(endpoint: Endpoint): EndpointSink;
  /** The records, or the first of them, with what is added on their way to an endpoint. A rejection: they are tried again. */
  enriched(endpoint: string, records: readonly RoutedRecord[]): Promise<readonly RoutedEvent[]>;
  /** Told when an endpoint's health has changed. */
  changed(endpoint: Endpoint, before: EndpointCondition, now: EndpointCondition): void;
  readonly hubLog: Log;
}
