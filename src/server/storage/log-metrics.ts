/** What an event log tells of itself, in Prometheus' form. The log counts anyway; it is read when a page is asked for. */
import { Counter, Gauge, Histogram, type Metric } from 'prom-client';
import type { EventLog } from '../../core/events/ports.ts';
import type { EmbeddedEventLog } from '../../stores/embedded/event-log/event-log.ts';

/** What every log counts. */
interface CountedLog extends Pick<EventLog, 'name' | 'health'> {
  stats(): Pick<
    ReturnType<EmbeddedEventLog['stats']>,
    'recordsTotal' | 'writtenBytesTotal' | 'batchesTotal' | 'failuresTotal' | 'pendingBytes'
  >;
}

type LogValue<Log> = readonly [name: string, help: string, value: (log: Log) => number];

const logCounters: readonly LogValue<CountedLog>[] = [
  ['mooring_events_stored_total', 'Events made durable since the start', (log) => log.stats().recordsTotal],
  ['mooring_event_bytes_total', 'Bytes of events written since the start', (log) => log.stats().writtenBytesTotal],
  ['mooring_event_batches_total', 'Batches made durable since the start', (log) => log.stats().batchesTotal],
  ['mooring_event_append_failures_total', 'Batches that failed since the start', (log) => log.stats().failuresTotal],
];
const logGauges: readonly LogValue<CountedLog>[] = [
  ['mooring_event_log_ok', '1 while events can be made durable, else 0', (log) => (log.health().ok ? 1 : 0)],
  ['mooring_event_pending_bytes', 'Bytes of events that wait to be durable', (log) => log.stats().pendingBytes],
];
const journalGauges: readonly LogValue<EmbeddedEventLog>[] = [
  ['mooring_event_log_bytes', 'Bytes of all segments on disk', (log) => log.stats().bytes],
  [
    'mooring_event_log_bytes_max',
    'Bytes from which on retention removes the oldest segments (retentionBytes)',
    (log) => log.stats().bytesMax,
  ],
  ['mooring_event_log_segments', 'Segments on disk', (log) => log.stats().segments],
];

export interface LogMetrics {
  /** To be called with each batch of that log that became durable; `seconds` from its write on. */
  committedOf(eventHub: string): (bytes: number, seconds: number) => void;
  /** All of journals, in no registry yet. */
  of(logs: readonly EmbeddedEventLog[]): readonly Metric[];
  /** All of logs that brokers keep, in no registry yet. */
  ofBrokers(logs: readonly CountedLog[]): readonly Metric[];
}

/** Made before the logs are, because they commit while they are opened. */
export function createLogMetrics(): LogMetrics {
  const appendSeconds = new Histogram({
    name: 'mooring_event_append_seconds',
    help: 'Seconds from the write of a batch of events until it is durable',
    labelNames,
    buckets: [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5],
    registers,
  });
  const batchBytes = new Histogram({
    name: 'mooring_event_batch_bytes',
    help: 'Bytes that one sync made durable',
    labelNames,
    buckets: [256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304],
    registers,
  });
  return {
    committedOf(event_hub) {
      const [ofSeconds, ofBytes] = [appendSeconds.labels({ event_hub }), batchBytes.labels({ event_hub })];
      return (bytes, seconds) => {
        ofSeconds.observe(seconds);
        ofBytes.observe(bytes);
      };
    },
    of: (logs) => [
      appendSeconds,
      batchBytes,
      ...counters(logs),
      ...gauges(logs, logGauges),
      ...gauges(logs, journalGauges),
    ],
    ofBrokers: (logs) => [appendSeconds, batchBytes, ...counters(logs), ...gauges(logs, logGauges)],
  };
}

const labelNames = ['event_hub'] as const;
const registers: [] = [];

function counters(logs: readonly CountedLog[]): readonly Metric[] {
  return logCounters.map(
    ([name, help, value]) =>
      new Counter({
        ...{ name, help, labelNames, registers },
        collect() {
          // The log counts by itself; a counter of this library can only be reset and raised.
          this.reset();
          for (const log of logs) this.inc({ event_hub: log.name }, value(log));
        },
      }),
  );
}

function gauges<Log extends CountedLog>(logs: readonly Log[], values: readonly LogValue<Log>[]): readonly Metric[] {
  return values.map(
    ([name, help, value]) =>
      new Gauge({
        ...{ name, help, labelNames, registers },
        collect() {
          for (const log of logs) this.set({ event_hub: log.name }, value(log));
        },
      }),
  );
}
