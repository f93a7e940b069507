import type { EventLog, EventWriter } from '../../core/events/ports.ts';
import type { BatchRuns } from './format.ts';

/**
 * An event log that the doors of this process write, and that takes whole, sealed batches of its listener threads;
 * `batchBytesMax` of both must be the same.
 */
export interface StoredLog extends EventLog {
  readonly writer: EventWriter & { append(batch: BatchRuns, bytes: number): void };
  /** Calls `listener` after facts of partitions have changed, before waiters and watchers hear of it. One listener. */
  followFacts(listener: () => void): void;
}
