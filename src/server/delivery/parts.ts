import type { Clock } from '../../base/clock.ts';
import type { Log } from '../../base/log.ts';
import type { CursorStore, EndpointSink, RoutedLog, RoutedRecord } from '../../core/routes/ports.ts';
import type { Endpoint } from '../../core/routes/types.ts';
import type { EndpointCondition } from './endpoint-state.ts';

/** What delivery stands on. */
export interface DeliveryParts {
  readonly log: RoutedLog;
  readonly cursors: CursorStore;
  readonly clock: Clock;
  /** The time that the store counts leases by, UTC milliseconds. */
  storeTime(): number;
  /** This node's name. */
  readonly node: string;
  /** From 0 to 1. */
  chance(): number;
  sinkOf(endpoint: Endpoint): EndpointSink;
  /** Properties that are added to an event on its way to an endpoint. */
  enrichmentsOf(record: RoutedRecord, endpoint: string): readonly (readonly [key: string, value: string])[];
  /** Told when an endpoint's health has changed. */
  changed(endpoint: Endpoint, before: EndpointCondition, now: EndpointCondition): void;
  readonly hubLog: Log;
}
