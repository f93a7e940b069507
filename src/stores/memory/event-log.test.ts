import assert from 'node:assert/strict';
import { test } from 'node:test';
import { append, durable, type EventLogFactory, eventLogContract, put, readAll } from '../contract/event-log.ts';
import { eventLogModelTest } from '../contract/event-log-model.ts';
import { createMemoryEventLog } from './event-log.ts';

const factory: EventLogFactory = {
  name: 'memory event log',
  async open(options) {
    const log = createMemoryEventLog({ ...options, name: 'hub', partitionCount: 3 });
    return { log, retain: async () => log.retain(), close: async () => {} };
  },
};

eventLogContract(factory);
eventLogModelTest(factory, 200);

test('by hand, nothing is durable before it is committed', async () => {
  const log = createMemoryEventLog({ name: 'hub', partitionCount: 1, durable: 'byHand' });
  let isDurable = false;
  put(log, 0, 'x');
  const done = durable(log).then(() => {
    isDurable = true;
  });
  await new Promise<void>((resolve) => setImmediate(resolve));
  assert.equal(isDurable, false);
  assert.deepEqual(await readAll(log, 0), []);
  await log.commit();
  await done;
  assert.deepEqual(await readAll(log, 0), ['x']);
});

test('told to fail, it fails every batch and says so, until told otherwise', async () => {
  const log = createMemoryEventLog({ name: 'hub', partitionCount: 1 });
  log.failWith(new Error('no room'));
  assert.deepEqual(log.health(), { ok: false, reason: 'no room' });
  await assert.rejects(append(log, 0, ['lost']), /no room/);
  log.failWith(undefined);
  await append(log, 0, ['kept']);
  assert.deepEqual(await readAll(log, 0), ['kept']);
});
