/**
 * Metrics in Prometheus' form. Counts that the hub keeps anyway (connections, stored events) are read when somebody
 * asks, so that the hot path pays nothing for them; the rest is told to the small face below.
 */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { HubError } from '../core/errors.ts';
import type { EventLog } from '../core/events/ports.ts';
import type { Authentication } from '../core/identity/authentication.ts';

/** What parts of the server tell. Times in seconds, as Prometheus wants them. */
export interface Metrics {
  /** The page that Prometheus scrapes. */
  page(): Promise<{ readonly contentType: string; readonly text: string }>;
  /** Open connections of a door. */
  watchDoor(name: string, connections: () => number): void;
  /** Events stored, per partition. */
  watchEventLog(log: EventLog): void;
  /** One batch of an event log became durable. */
  batchDurable(eventHub: string, records: number, bytes: number, seconds: number): void;
  /** An authentication that was refused, by the check that failed. */
  authenticationFailed(check: string): void;
}

export function openMetrics(): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const registers = [registry];
  const doors = new Map<string, () => number>();
  const logs: EventLog[] = [];

  new Gauge({
    name: 'mooring_connections',
    help: 'Open connections',
    labelNames: ['door'],
    registers,
    collect() {
      for (const [door, connections] of doors) this.set({ door }, connections());
    },
  });
  new Gauge({
    name: 'mooring_event_log_ok',
    help: '1 while events can be made durable, else 0',
    labelNames: ['event_hub'],
    registers,
    collect() {
      for (const log of logs) this.set({ event_hub: log.name }, log.health().ok ? 1 : 0);
    },
  });
  const stored = new Gauge({
    name: 'mooring_events_stored_total',
    help: 'Events ever stored in a partition; counts on across restarts',
    labelNames: ['event_hub', 'partition'],
    registers,
    collect() {
      for (const log of logs) {
        for (let partition = 0; partition < log.partitionCount; partition++) {
          const labels = { event_hub: log.name, partition: String(partition) };
          stored.set(labels, log.partition(partition).lastSequence + 1);
        }
      }
    },
  });
  const labelNames = ['event_hub'] as const;
  const bytes = new Counter({
    name: 'mooring_event_bytes_total',
    help: 'Bytes of stored events',
    labelNames,
    registers,
  });
  const batchRecords = new Histogram({
    name: 'mooring_event_batch_records',
    help: 'Events that one sync made durable',
    labelNames,
    buckets: [1, 4, 16, 64, 256, 1024, 4096, 16_384],
    registers,
  });
  const batchSeconds = new Histogram({
    name: 'mooring_event_append_seconds',
    help: 'Seconds from the write of a batch until it is durable',
    labelNames,
    buckets: [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5],
    registers,
  });
  const failures = new Counter({
    name: 'mooring_authentication_failures_total',
    help: 'Refused authentications by the check that failed',
    labelNames: ['check'],
    registers,
  });
  return {
    page: async () => ({ contentType: registry.contentType, text: await registry.metrics() }),
    watchDoor: (name, connections) => void doors.set(name, connections),
    watchEventLog: (log) => void logs.push(log),
    batchDurable(eventHub, records, size, seconds) {
      bytes.inc({ event_hub: eventHub }, size);
      batchRecords.observe({ event_hub: eventHub }, records);
      batchSeconds.observe({ event_hub: eventHub }, seconds);
    },
    authenticationFailed: (check) => failures.inc({ check }),
  };
}

/** The same authentication, with its refusals counted. */
export function countFailures(inner: Authentication, metrics: Metrics): Authentication {
  const counted = async <T>(answer: Promise<T>): Promise<T> => {
    try {
      return await answer;
    } catch (error) {
      if (error instanceof HubError && error.status === 401) metrics.authenticationFailed(error.reason ?? 'unknown');
      throw error;
    }
  };
  return {
    device: (key, credential) => counted(inner.device(key, credential)),
    token: (token, audience) => counted(inner.token(token, audience)),
    policyKey: (policyName, key) => counted(inner.policyKey(policyName, key)),
  };
}
