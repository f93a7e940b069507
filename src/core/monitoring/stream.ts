/**
 * Monitoring events into an event log, one JSON message each. Synchronous: what the log does not take at the moment
 * (its disk fails, too much waits) waits here, up to a bound; what is beyond the bound, or was in a batch that failed,
 * is counted, and the count is told in the stream as `eventsMissed` as soon as it is possible.
 */
import type { Cancel, Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { DurabilityWaiter, EventLog, RecordCodec, Routing } from '../events/ports.ts';
import type { EventStamp, Telemetry } from '../events/types.ts';
import type { Recorder } from './types.ts';

/** A message as the stream keeps it. */
export interface StreamMessage {
  readonly stamp: Pick<EventStamp, 'source'> & Partial<EventStamp>;
  readonly telemetry: Telemetry;
  /** Which partition of the log. */
  readonly partition: number;
}

export interface EventStreamParts {
  readonly log: EventLog;
  readonly codec: RecordCodec;
  /** Where events go, of the telemetry event hub; absent = to its readers. */
  readonly routing?: Pick<Routing, 'current'>;
  readonly clock: Clock;
  /** Hears of what could not be stored. */
  readonly recorder: Recorder;
  readonly pendingMax?: number;
}

export interface EventStream {
  append(message: StreamMessage): void;
  /** Events that will never be in the log. */
  missed(): number;
  /** Events that wait for the log to take them. */
  pending(): number;
  close(): void;
}

export function createEventStream(parts: EventStreamParts): EventStream {
  const { log, codec, clock } = parts;
  const pendingMax = parts.pendingMax ?? limits.monitoringPendingMax;
  let waiting: StreamMessage[] = [];
  let retry: Cancel | undefined;
  let missed = 0;
  let untold: { count: number; first: number; last: number } | undefined;
  /** Events of each batch that is on its way. */
  const underWay = new Map<number, number>();

  const miss = (count: number): void => {
    const now = clock.now();
    missed += count;
    untold = { count: (untold?.count ?? 0) + count, first: untold?.first ?? now, last: now };
    arm();
  };

  const waiter: DurabilityWaiter = {
    batchDurable(batch) {
      for (const number of underWay.keys()) if (number <= batch) underWay.delete(number);
    },
    batchFailed(batch) {
      const lost = underWay.get(batch);
      underWay.delete(batch);
      if (lost !== undefined) miss(lost);
    },
  };

  const isOpen = (): boolean => {
    const health = log.health();
    return !log.writer.congested && (health.ok || health.isHeld === true);
  };

  const put = ({ stamp, telemetry, partition }: StreamMessage): void => {
    const now = clock.now();
    const { body } = telemetry;
    const mark = parts.routing?.current?.decide(stamp, telemetry, body, 0, body.length, now) ?? 0;
    const record = codec.encode(stamp, telemetry, now, mark);
    const { writer } = log;
    const at = writer.reserve(partition, record.length);
    record.copy(writer.bytes(partition), at);
    writer.await(waiter);
    underWay.set(writer.batch, (underWay.get(writer.batch) ?? 0) + 1);
  };

  const drain = (): void => {
    let at = 0;
    while (at < waiting.length && isOpen()) put(waiting[at++]);
    waiting = waiting.slice(at);
    if (waiting.length > 0 || untold === undefined || !isOpen()) return;
    const { count, first, last } = untold;
    untold = undefined;
    parts.recorder.record({ type: 'eventsMissed', missed: count, first, last });
  };

  const arm = (): void => {
    retry ??= clock.after(limits.monitoringRetryMs, () => {
      retry = undefined;
      drain();
      if (waiting.length > 0 || untold !== undefined) arm();
    });
  };

  return {
    append(message) {
      if (waiting.length === 0 && isOpen()) put(message);
      else if (waiting.length < pendingMax) {
        waiting.push(message);
        arm();
      } else miss(1);
    },
    missed: () => missed,
    pending: () => waiting.length,
    close() {
      drain();
      retry?.();
    },
  };
}
