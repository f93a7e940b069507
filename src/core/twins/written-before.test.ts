import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createMemoryEventLog } from '../../stores/memory/event-log.ts';
import type { BegunTwinEvents, KeptTwinEvent } from './ports.ts';
import { WrittenBefore } from './written-before.ts';

const eventOf = (sequence: number): KeptTwinEvent => {
  const key = { deviceId: 'd1' };
  return { sequence, key, generationId: 'g1', version: 1, time: 0, kind: 'update', content: '{}' };
};

test('what a former node has begun and dropped is not looked for for good, where events never cease', async () => {
  const eventLog = createMemoryEventLog({ name: 'hub', partitionCount: 1 });
  let kept: BegunTwinEvents = { sequences: [1, 2, 3], places: { 0: 0 } };
  const begun = {
    load: async () => kept,
    keep: async (next: BegunTwinEvents) => {
      kept = next;
    },
  };
  const clock = { now: () => 0, monotonic: () => 0, after: () => () => {} };
  const written = new WrittenBefore({ eventLog, partitionOf: () => 0, correlationOf: () => undefined, begun, clock });
  // Meanwhile the log has gone on.
  for (let nth = 0; nth < 20; nth++) {
    eventLog.writer.reserve(0, 1);
    await new Promise<void>((resolve, reject) => {
      eventLog.writer.await({ batchDurable: () => resolve(), batchFailed: (_batch, error) => reject(error) });
    });
  }
  // The last of them was not dropped.
  await written.before([eventOf(3), eventOf(4)]);
  assert.deepEqual(kept, { sequences: [3, 4], places: { 0: 0 } });
  written.dropped([eventOf(3), eventOf(4)]);
  await written.before([eventOf(5)]);
  assert.deepEqual(kept, { sequences: [5], places: { 0: 20 } });
});
