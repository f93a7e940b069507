/**
 * Events of twins from where they are kept with their changes into the event log: each exactly once and in order per identity,
 * whatever ends in between. An event is dropped there when it is durable here; one that may be in the log already (the hub was
 * killed in between, or the log could not say) is looked for before it is written again.
 */
import type { Cancel, Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import type { EventLog, RecordCodec, Routing } from '../events/ports.ts';
import { sourceOf, type TwinEventMessage, type TwinEventSource, twinEventMessage } from './event-messages.ts';
import type { BegunTwinEventStore, KeptTwinEvent, TwinStore } from './ports.ts';
import { WrittenBefore } from './written-before.ts';

export interface TwinEventParts {
  readonly store: Pick<TwinStore, 'events' | 'dropEvents' | 'watchEvents'>;
  readonly eventLog: EventLog;
  /** As of `WrittenBefore`. */
  readonly begun?: BegunTwinEventStore;
  readonly codec: RecordCodec;
  /** Where events go; absent = to the built-in event hub. */
  readonly routing?: Pick<Routing, 'current'>;
  readonly partitionOf: (deviceId: string, partitionCount: number) => number;
  /** The correlation id of a record of one of these sources; undefined = it is none. */
  readonly correlationOf: (bytes: Buffer, start: number, end: number) => string | undefined;
  readonly hubName: string;
  readonly sources: ReadonlySet<string>;
  /** Whether this node publishes what all nodes keep; absent = it is the only one. */
  readonly isOwnDuty?: () => boolean;
  readonly clock: Clock;
  readonly log: Log;
}

export interface TwinEventPublisher {
  /** Events that are in the log since the start. */
  published(): number;
  /** Another node may have kept events. */
  look(): void;
  /** Another node may have published what this one is to publish from now on. */
  takeOver(): void;
  /** Writes what waits, and ends. */
  close(): Promise<void>;
}

export function publishTwinEvents(parts: TwinEventParts): TwinEventPublisher {
  const { store, eventLog, clock } = parts;
  let published = 0;
  let isAgain = true;
  let isClosed = false;
  const written = new WrittenBefore(parts);
  let retry: Cancel | undefined;
  let working: Promise<void> | undefined;

  const wake = (): void => {
    isAgain = true;
    if (isClosed || retry !== undefined) return;
    working ??= work().finally(() => {
      working = undefined;
    });
  };

  async function work(): Promise<void> {
    while (isAgain) {
      isAgain = false;
      try {
        await publishAll();
      } catch (error) {
        parts.log.warn({ error }, 'events of twins wait');
        written.doubt();
        isAgain = true;
        if (isClosed) return;
        retry ??= clock.after(limits.twinEventsRetryMs, () => {
          retry = undefined;
          wake();
        });
        return;
      }
    }
  }

  async function publishAll(): Promise<void> {
    for (;;) {
      if (parts.isOwnDuty?.() === false) return;
      const events = await store.events(limits.twinEventsAtOnce);
      if (events.length === 0) {
        written.nothingLeft();
        return;
      }
      const known = await written.before(events);
      await append(events.filter((event) => !known.has(event.sequence) && parts.sources.has(sourceOf(event))));
      await store.dropEvents(events.map(({ sequence }) => sequence));
      written.dropped(events);
    }
  }

  /** Resolves when all are durable. */
  async function append(events: readonly KeptTwinEvent[]): Promise<void> {
    if (events.length === 0) return;
    const { writer } = eventLog;
    if (writer.congested) await new Promise<void>((resolve) => writer.whenRelieved(resolve));
    await new Promise<void>((resolve, reject) => {
      let last = -1;
      const waiter = {
        batchDurable: (batch: number) => void (batch >= last && resolve()),
        batchFailed: (_batch: number, error: Error) => reject(error),
      };
      for (const event of events) {
        put(twinEventMessage(event, parts.hubName), event.key.deviceId);
        writer.await(waiter);
      }
      last = writer.batch;
    });
    published += events.length;
  }

  function put({ stamp, telemetry }: TwinEventMessage, deviceId: string): void {
    const now = clock.now();
    const { body } = telemetry;
    const mark = parts.routing?.current?.decide(stamp, telemetry, body, 0, body.length, now) ?? 0;
    const record = parts.codec.encode(stamp, telemetry, now, mark);
    const partition = parts.partitionOf(deviceId, eventLog.partitionCount);
    const at = eventLog.writer.reserve(partition, record.length);
    record.copy(eventLog.writer.bytes(partition), at);
  }

  const unwatch = store.watchEvents(wake);
  wake();
  return {
    published: () => published,
    look: wake,
    takeOver() {
      written.doubt();
      wake();
    },
    async close() {
      unwatch();
      await working;
      isClosed = true;
      retry?.();
    },
  };
}

/** Which of the sources come this way. */
export const twinEventSources: readonly TwinEventSource[] = [
  'twinChangeEvents',
  'deviceLifecycleEvents',
  'deviceJobLifecycleEvents',
];
