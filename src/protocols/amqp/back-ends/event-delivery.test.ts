import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../../base/clock.ts';
import { createMemoryEventLog } from '../../../stores/memory/event-log.ts';
import type { OutgoingLink } from '../engine/outgoing-link.ts';
import { DeliveryTurns } from './delivery-turns.ts';
import { EventDelivery } from './event-delivery.ts';

test('a reader that goes ends its reading, which may wait for long', async () => {
  const log = createMemoryEventLog({ name: 'hub', partitionCount: 1 });
  const place = log.writer.reserve(0, 100);
  log.writer.bytes(0).fill(0, place, place + 100);
  await log.commit();
  const signals: (AbortSignal | undefined)[] = [];
  const failures: unknown[] = [];
  const turns = new DeliveryTurns(new VirtualClock(), (callback) => callback());
  const delivery = new EventDelivery({
    // What a delivery asks of a link before it has read.
    link: { isOpen: true, credit: 1, session: { transfersMax: 1, awaitRoom: () => {} } } as unknown as OutgoingLink,
    log: {
      ...log,
      read: (_, __, ___, signal) =>
        new Promise((_, reject) => {
          signals.push(signal);
          signal?.addEventListener('abort', () => reject(signal.reason));
        }),
    },
    ...{ shown: log, partition: 0, from: 0, withMetrics: false, turns },
    socket: { cork: () => {}, uncork: () => {} },
    now: () => 0,
    unsentBytes: () => 0,
    failed: (error) => void failures.push(error),
  });
  delivery.pump();
  assert.equal(signals.length, 1);
  assert.equal(signals[0]?.aborted, false);
  delivery.stop();
  assert.equal(signals[0]?.aborted, true);
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(failures, []);
});
