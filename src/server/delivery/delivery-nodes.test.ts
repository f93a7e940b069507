/** Delivery where tables, nodes and endpoints fail, and where several nodes share it. */
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { test } from 'node:test';
import { rig, sequences, type TestSink } from '../../../test/drivers/delivery-rig.ts';
import { limits } from '../../base/limits.ts';
import { seededRandom } from '../../base/random.ts';
import type { DeliveryBatch } from '../../core/routes/ports.ts';

test('where the tables fail, delivery waits with the next events, and goes on by itself', async () => {
  const { sinks, cursors, put, pass, started, declare } = rig(['a']);
  await declare();
  const sink = sinks.get('a') as TestSink;
  let isAway = false;
  const delivery = await started('n1', {
    cursors: {
      ...cursors,
      save: async (...args) => (isAway ? Promise.reject(new Error('away')) : cursors.save(...args)),
    },
  });
  isAway = true;
  for (let at = 0; at < 20; at += 1) {
    await put(0, 1);
    await pass(100);
  }
  assert.ok(sink.taken.length <= 2, `${sink.taken.length} batches without a cursor`);
  assert.match(delivery.facts()[0].condition.reason ?? '', /could not be saved: away/);
  isAway = false;
  await pass(limits.deliveryRetryMsMax, 500);
  assert.deepEqual(sink.taken, sequences(0, 0, 20));
  await delivery.close();
});

test('two nodes never deliver one partition; one that dies is followed by the other after its lease', async () => {
  const { sinks, put, pass, started, declare, cursors } = rig(['a']);
  await declare();
  const sink = sinks.get('a') as TestSink;
  const first = await started('n1');
  const second = await started('n2');
  await put(0, 1, 3);
  await pass(1000);
  assert.deepEqual(sink.taken, sequences(0, 0, 3));
  assert.equal(second.facts()[0].partitions.length, 0);
  await first.close();
  await put(1, 1, 2);
  await pass(limits.deliveryLeaseMs);
  assert.deepEqual(sink.taken, [...sequences(0, 0, 3), ...sequences(1, 0, 2)]);
  assert.ok((await cursors.list()).every(({ node }) => node === 'n2'));
  await second.close();
});

test('a node hands nothing over while another one may have its part', async () => {
  const { sinks, put, pass, started, declare } = rig(['a']);
  await declare();
  const sink = sinks.get('a') as TestSink;
  let mayWork = true;
  const delivery = await started('n1', { mayWork: () => mayWork });
  await put(0, 1, 1);
  await pass(500);
  mayWork = false;
  await put(0, 1, 2);
  await pass(2000);
  assert.deepEqual(sink.taken, sequences(0, 0, 1));
  mayWork = true;
  await pass(limits.deliveryRetryMsMax);
  assert.deepEqual(sink.taken, sequences(0, 0, 3));
  await delivery.close();
});

test('a node that the store does not answer for the time of a lease stops', async () => {
  const { sinks, cursors, put, pass, started, declare } = rig(['a']);
  await declare();
  const sink = sinks.get('a') as TestSink;
  let isAway = false;
  const away = async (): Promise<never> => Promise.reject(new Error('away'));
  const delivery = await started('n1', {
    cursors: { ...cursors, claim: async (...args) => (isAway ? away() : cursors.claim(...args)) },
  });
  isAway = true;
  await pass(limits.deliveryLeaseMs * 2, 500);
  await put(0, 1);
  await pass(1000);
  assert.deepEqual(sink.taken, []);
  isAway = false;
  await pass(limits.deliveryLeaseMs, 500);
  assert.deepEqual(sink.taken, ['0-0']);
  await delivery.close();
});

test('whatever fails and crashes: nothing is lost, and first appearances stay in order', async () => {
  const seed = Number(process.env.MOORING_TEST_SEED ?? randomInt(2 ** 31));
  const random = seededRandom(seed);
  const { sinks, cursors, put, pass, started, declare } = rig(['a', 'b']);
  await declare();
  for (const sink of sinks.values()) {
    sink.answer = ({ events }) => {
      const draw = random.next();
      if (draw < 0.2) return { kind: 'retry', reason: 'down' };
      if (draw < 0.3) throw new Error('broken');
      return draw < 0.6 ? { kind: 'done', count: 1 + Math.floor(random.next() * events.length) } : { kind: 'done' };
    };
  }
  /** A node whose tables fail at times, and that can be killed: from then on nothing that it does has an effect. */
  const node = async (name: string) => {
    let isDead = false;
    const alive = <A extends readonly unknown[], R>(work: (...args: A) => Promise<R>, chance: number) => {
      return async (...args: A): Promise<R> => {
        if (isDead || random.next() < chance) throw new Error('away');
        const done = await work(...args);
        if (isDead || random.next() < chance) throw new Error('done, but the answer is lost');
        return done;
      };
    };
    const { claim, save, release } = cursors;
    const delivery = await started(name, {
      cursors: { ...cursors, claim: alive(claim, 0), save: alive(save, 0.1), release: alive(release, 0) },
      sinkOf: ({ name: endpoint }) => {
        const sink = sinks.get(endpoint) as TestSink;
        const deliver = async (batch: DeliveryBatch) => {
          if (isDead) throw new Error('dead');
          return sink.deliver(batch);
        };
        return { inFlightMax: 2, deliver, close: async () => {} };
      },
    });
    return {
      close: () => delivery.close(),
      kill: () => {
        isDead = true;
        return delivery.close();
      },
    };
  };
  const sent: Record<string, string[]> = { a: [], b: [] };
  const counts = [0, 0];
  let current = await node('n0');
  for (let round = 0; round < 40; round += 1) {
    const partition = random.next() < 0.5 ? 0 : 1;
    const slots = 1 + Math.floor(random.next() * 3);
    const count = 1 + Math.floor(random.next() * 20);
    await put(partition, slots, count);
    const ids = sequences(partition, counts[partition], counts[partition] + count);
    counts[partition] += count;
    for (const [bit, name] of [
      [1, 'a'],
      [2, 'b'],
    ] as const)
      if ((slots & bit) !== 0) sent[name].push(...ids);
    await pass(random.next() * 400);
    if (random.next() < 0.2) {
      await (random.next() < 0.5 ? current.kill() : current.close());
      current = await node(`n${round + 1}`);
    }
  }
  await pass(limits.deliveryRetryMsMax * 4 + limits.deliveryLeaseMs, 500);
  await current.close();
  for (const [name, wanted] of Object.entries(sent)) {
    const taken = sinks.get(name)?.taken ?? [];
    for (const partition of ['0-', '1-']) {
      const first = [...new Set(taken.filter((id) => id.startsWith(partition)))];
      assert.deepEqual(
        first,
        wanted.filter((id) => id.startsWith(partition)),
        `seed ${seed}`,
      );
    }
  }
});
