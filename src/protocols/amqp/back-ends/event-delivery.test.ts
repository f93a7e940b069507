import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../../base/clock.ts';
import type { EventLog } from '../../../core/events/ports.ts';
import { createMemoryEventLog } from '../../../stores/memory/event-log.ts';
import type { OutgoingLink } from '../engine/outgoing-link.ts';
import { DeliveryTurns } from './delivery-turns.ts';
import { EventDelivery } from './event-delivery.ts';

/** Readers of one event, each of which has asked for it; what they read ends when `end` says so. */
async function rig(count: number) {
  const log = createMemoryEventLog({ name: 'hub', partitionCount: 1 });
  const place = log.writer.reserve(0, 100);
  log.writer.bytes(0).fill(0, place, place + 100);
  await log.commit();
  const readings: { readonly signal: AbortSignal | undefined; readonly end: (error: unknown) => void }[] = [];
  const slow: EventLog = {
    ...log,
    read: (_, __, ___, signal) =>
      new Promise((_, reject) => {
        readings.push({ signal, end: reject });
        signal?.addEventListener('abort', () => reject(signal.reason));
      }),
  };
  const failures: string[] = [];
  const turns = new DeliveryTurns(new VirtualClock(), (callback) => callback());
  const readers = Array.from({ length: count }, (_, nth) => {
    const reader = new EventDelivery({
      // What a delivery asks of a link before it has read.
      link: { isOpen: true, credit: 1, session: { transfersMax: 1, awaitRoom: () => {} } } as unknown as OutgoingLink,
      ...{ log: slow, shown: log, partition: 0, from: 0, withMetrics: false, turns },
      socket: { cork: () => {}, uncork: () => {} },
      now: () => 0,
      unsentBytes: () => 0,
      failed: (error) => {
        failures.push(`${nth} ${error}`);
        reader.stop();
      },
    });
    return reader;
  });
  for (const reader of readers) reader.pump();
  return { readers, readings, failures };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

test('a reader that goes ends its reading, which may wait for long', async () => {
  const { readers, readings, failures } = await rig(1);
  assert.deepEqual(
    readings.map(({ signal }) => signal?.aborted),
    [false],
  );
  readers[0].stop();
  assert.equal(readings[0].signal?.aborted, true);
  await turn();
  assert.deepEqual(failures, []);
});

test('readers of one place that wait for the one who reads are told with it that it cannot; if it only goes, another reads', async () => {
  const { readers, readings, failures } = await rig(4);
  assert.equal(readings.length, 1);
  readers[0].stop();
  await turn();
  assert.equal(readings.length, 2);
  readings[1].end('it has taken too long');
  await turn();
  assert.deepEqual(
    failures.sort(),
    [1, 2, 3].map((nth) => `${nth} it has taken too long`),
  );
  assert.equal(readings.length, 2);
});
