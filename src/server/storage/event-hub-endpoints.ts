/** Endpoints of the kind `eventHub`: events as records of another log of this hub, in order per device. */

import type { DurabilityWaiter, EventLog, RecordCodec } from '../../core/events/ports.ts';
import { partitionOf } from '../../core/events/rules.ts';
import type { Delivered, EndpointSink, RoutedEvent } from '../../core/routes/ports.ts';
import { readRecord } from '../../records/read-record.ts';

/** So many partitions at a time: they share the syncs of the log. */
const IN_FLIGHT = 8;

/** @param log Opens it where it is not open. @throws Error (rejection) that says why it cannot be written */
export function eventHubSink(log: () => Promise<EventLog>, codec: RecordCodec): EndpointSink {
  return {
    inFlightMax: IN_FLIGHT,
    async deliver({ events }): Promise<Delivered> {
      const target = await log();
      const health = target.health();
      if (!health.ok) return { kind: 'retry', reason: health.reason };
      if (target.writer.congested) await new Promise<void>((resolve) => target.writer.whenRelieved(resolve));
      await written(target, events, codec);
      return { kind: 'done' };
    },
    close: async () => {},
  };
}

/** All of them in one turn, so that nothing comes between events of one device. Resolves when they are durable. */
function written(
  { writer, partitionCount }: EventLog,
  events: readonly RoutedEvent[],
  codec: RecordCodec,
): Promise<void> {
  return new Promise((resolve, reject) => {
    let last = Number.POSITIVE_INFINITY;
    const waiter: DurabilityWaiter = {
      batchDurable: (batch) => {
        if (batch >= last) resolve();
      },
      batchFailed: (_, error) => reject(error),
    };
    let batch = 0;
    for (const { bytes, start, end, enrichments } of events) {
      const { stamp, telemetry, hubTime } = readRecord(bytes, start, end);
      const { system, body } = telemetry;
      const added = new Set(enrichments.map(([name]) => name));
      const properties = [...telemetry.properties.filter(([name]) => !added.has(name)), ...enrichments];
      // Without a mark: where an event goes from the built-in event hub is nothing to the readers of this one.
      const record = codec.encode(stamp, { system, properties, body }, hubTime);
      const partition = partitionOf(stamp.deviceId ?? '', partitionCount);
      const at = writer.reserve(partition, record.length);
      record.copy(writer.bytes(partition), at);
      writer.await(waiter);
      batch = writer.batch;
    }
    last = batch;
    if (events.length === 0) resolve();
  });
}
