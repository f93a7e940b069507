import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { rig, sequences, TestSink } from '../../../test/drivers/delivery-rig.ts';
import { limits } from '../../base/limits.ts';
import type { Delivered } from '../../core/routes/ports.ts';
import { nextSet, readDeclaration } from '../../core/routes/rules.ts';
import type { RouteSet } from '../../core/routes/types.ts';

test('each endpoint gets what is for it, in order, and a cursor behind it', async () => {
  const { sinks, cursors, put, pass, started, declare } = rig(['a', 'b']);
  await declare();
  const delivery = await started();
  await put(0, 1, 3);
  await put(0, 2, 2);
  await put(1, 3, 1);
  await pass(500);
  assert.deepEqual(sinks.get('a')?.taken.toSorted(), [...sequences(0, 0, 3), '1-0']);
  assert.deepEqual(sinks.get('b')?.taken.toSorted(), [...sequences(0, 3, 5), '1-0']);
  const [a] = delivery.facts();
  assert.equal(a.condition.health, 'healthy');
  assert.equal(a.delivered, 4);
  assert.equal(a.behind, 0);
  await delivery.close();
  assert.deepEqual(
    (await cursors.list()).map(({ endpoint, partition, sequence, node }) => [endpoint, partition, sequence, node]),
    [
      ['a', 0, 5, ''],
      ['a', 1, 1, ''],
      ['b', 0, 5, ''],
      ['b', 1, 1, ''],
    ],
  );
  assert.ok(sinks.get('a')?.isClosed);
});

test('an endpoint that fails is tried again with growing pauses, is told as degraded, then dead, and loses nothing', async () => {
  const { sinks, changes, put, pass, started, declare } = rig(['a', 'b']);
  await declare();
  const failing = sinks.get('a') as TestSink;
  let tries = 0;
  failing.answer = () => {
    tries += 1;
    return { kind: 'retry', reason: 'no route to host' };
  };
  const delivery = await started();
  await put(0, 3, 5);
  await pass(10_000);
  assert.ok(tries >= 4 && tries <= 8, `${tries} tries in ten seconds`);
  assert.deepEqual(sinks.get('b')?.taken, sequences(0, 0, 5), 'the other one does not wait');
  const [{ condition, behind, behindMs }] = delivery.facts();
  assert.deepEqual([condition.health, condition.reason, behind], ['degraded', 'no route to host', 5]);
  assert.ok(behindMs >= 10_000);
  await pass(limits.endpointDeadMs + limits.deliveryRetryMsMax, 10_000);
  assert.equal(delivery.facts()[0].condition.health, 'dead');
  failing.answer = () => ({ kind: 'done' });
  await pass(limits.deliveryRetryMsMax, 1000);
  assert.deepEqual(failing.taken, sequences(0, 0, 5));
  assert.deepEqual(
    changes.filter((change) => change.startsWith('a')),
    ['a: unknown -> degraded', 'a: degraded -> dead', 'a: dead -> healthy'],
  );
  await delivery.close();
});

test('an endpoint that asks for time gets it', async () => {
  const { sinks, put, pass, started, declare } = rig(['a']);
  await declare();
  const sink = sinks.get('a') as TestSink;
  let tries = 0;
  sink.answer = () => {
    tries += 1;
    return tries === 1 ? { kind: 'retry', reason: 'busy', afterMs: 30_000 } : { kind: 'done' };
  };
  const delivery = await started();
  await put(0, 1);
  await pass(29_000, 1000);
  assert.equal(tries, 1);
  await pass(2_000);
  assert.equal(tries, 2);
  await delivery.close();
});

test('a part that is taken, and an event that never will be, move the cursor by as much', async () => {
  const { sinks, put, pass, started, declare } = rig(['a']);
  await declare();
  const sink = sinks.get('a') as TestSink;
  sink.answer = ({ events }) => {
    if (events[0].sequence === 3) return { kind: 'refused', reason: 'too large', count: 1 };
    const before = events.filter(({ sequence }) => sequence < 3).length;
    return { kind: 'done', count: before > 0 ? Math.min(2, before) : events.length };
  };
  const delivery = await started();
  await put(0, 1, 8);
  await pass(500);
  assert.deepEqual(sink.taken, [...sequences(0, 0, 3), ...sequences(0, 4, 8)]);
  assert.equal(delivery.facts()[0].refused, 1);
  await delivery.close();
});

test('no more batches are under way than the endpoint takes', async () => {
  const { sinks, put, pass, started, declare } = rig(['a'], { partitionCount: 2 });
  await declare();
  sinks.set('a', new TestSink(1));
  const sink = sinks.get('a') as TestSink;
  sink.answer = async () => {
    await turn();
    return { kind: 'done' };
  };
  const delivery = await started();
  await put(0, 1, 50);
  await put(1, 1, 50);
  await pass(1000);
  assert.equal(sink.taken.length, 100);
  assert.equal(sink.most, 1);
  await delivery.close();
});

test('what retention has taken is counted and told', async () => {
  const { sinks, put, pass, started, declare } = rig(['a'], { retentionBytes: 2000 });
  await declare();
  const sink = sinks.get('a') as TestSink;
  sink.answer = () => ({ kind: 'retry', reason: 'down' });
  const delivery = await started();
  for (let at = 0; at < 50; at += 1) await put(0, 1);
  sink.answer = () => ({ kind: 'done' });
  await pass(limits.deliveryRetryMsMax, 500);
  const [{ missed, delivered }] = delivery.facts();
  assert.ok(missed > 0);
  assert.equal(missed + delivered, 50);
  await delivery.close();
});

test('an endpoint whose settings change goes on from its place; one that is removed ends', async () => {
  const { sinks, set, put, pass, started, declare } = rig(['a', 'b']);
  await declare();
  const delivery = await started();
  await put(0, 3, 2);
  await pass(300);
  const before = sinks.get('a') as TestSink;
  sinks.set('a', new TestSink());
  const endpoints = [{ kind: 'kafka', name: 'a', brokers: ['localhost:2'], topic: 't' }];
  const next = nextSet(
    set,
    readDeclaration({ endpoints }, () => {}, set),
    0,
  );
  delivery.follow(next);
  await put(0, 3, 2);
  await pass(300);
  assert.ok(before.isClosed && sinks.get('b')?.isClosed);
  assert.deepEqual(sinks.get('a')?.taken, sequences(0, 2, 4));
  assert.deepEqual(
    delivery.facts().map(({ name }) => name),
    ['a'],
  );
  await delivery.close();
});

test('an endpoint that hangs while its settings change holds up no other one that changes or comes', async () => {
  const { sinks, put, pass, started, declare, set } = rig(['a', 'b']);
  await declare();
  const [a, b] = [sinks.get('a') as TestSink, sinks.get('b') as TestSink];
  let answer: (outcome: Delivered) => void = () => {};
  a.answer = () =>
    new Promise((resolve) => {
      answer = resolve;
    });
  const delivery = await started();
  await put(0, 3, 1);
  await pass(100);
  const changed = (topic: string): RouteSet => ({
    ...set,
    endpoints: set.endpoints.map((placed) => ({ ...placed, endpoint: { ...placed.endpoint, topic } as never })),
  });
  delivery.follow(changed('other'));
  await pass(100);
  await put(0, 3, 2);
  await pass(500);
  assert.deepEqual(b.taken, sequences(0, 0, 3));
  assert.deepEqual(a.taken, []);
  delivery.follow(changed('third'));
  answer({ kind: 'done' });
  a.answer = () => ({ kind: 'done' });
  await pass(500);
  assert.deepEqual(a.taken, sequences(0, 0, 3), 'each once, though it was changed twice');
  await delivery.close();
});

test('events that are enriched in parts all come, each once, in order', async () => {
  const { sinks, put, pass, started, declare } = rig(['a']);
  await declare();
  const delivery = await started('n1', {
    enriched: async (_, records) => records.slice(0, 3).map((record) => ({ ...record, enrichments: [] })),
  });
  await put(0, 1, 10);
  await pass(500);
  assert.deepEqual(sinks.get('a')?.taken, sequences(0, 0, 10));
  assert.equal(delivery.facts()[0].delivered, 10);
  await delivery.close();
});
