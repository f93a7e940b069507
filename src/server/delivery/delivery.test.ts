import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { VirtualClock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { silentLog } from '../../base/log.ts';
import { seededRandom } from '../../base/random.ts';
import type { Delivered, DeliveryBatch, EndpointSink } from '../../core/routes/ports.ts';
import { routedLog } from '../../core/routes/routed-log.ts';
import { nextSet, readDeclaration } from '../../core/routes/rules.ts';
import { noRoutes, type RouteSet } from '../../core/routes/types.ts';
import { recordCodec, routingMark, writeRoutingMark } from '../../records/record-codec.ts';
import { createMemoryEventLog, type MemoryEventLogOptions } from '../../stores/memory/event-log.ts';
import { createMemoryRoutes } from '../../stores/memory/routes.ts';
import { Delivery } from './delivery.ts';
import type { DeliveryParts } from './parts.ts';

const stamp = { deviceId: 'd', generationId: 'g', authMethod: '{}', source: 'Telemetry' };

/** An endpoint that keeps what it takes, and does as it is told. */
class TestSink implements EndpointSink {
  readonly inFlightMax: number;
  readonly taken: string[] = [];
  underWay = 0;
  most = 0;
  isClosed = false;
  answer: (batch: DeliveryBatch) => Delivered | Promise<Delivered> = () => ({ kind: 'done' });

  constructor(inFlightMax = 4) {
    this.inFlightMax = inFlightMax;
  }

  async deliver(batch: DeliveryBatch): Promise<Delivered> {
    this.underWay += 1;
    this.most = Math.max(this.most, this.underWay);
    try {
      const outcome = await this.answer(batch);
      if (outcome.kind === 'done') {
        const count = outcome.count ?? batch.events.length;
        this.taken.push(...batch.events.slice(0, count).map(({ sequence }) => `${batch.partition}-${sequence}`));
      }
      return outcome;
    } finally {
      this.underWay -= 1;
    }
  }

  async close(): Promise<void> {
    this.isClosed = true;
  }
}

function rig(names: readonly string[], options: Partial<MemoryEventLogOptions> = {}) {
  const clock = new VirtualClock();
  const log = createMemoryEventLog({ name: 'hub', partitionCount: 2, clock, durable: 'byHand', ...options });
  const { cursors, routes } = createMemoryRoutes();
  const sinks = new Map(names.map((name) => [name, new TestSink()]));
  const changes: string[] = [];
  const endpoints = names.map((name) => ({ kind: 'kafka', name, brokers: ['localhost:1'], topic: 't' }));
  const set = nextSet(
    noRoutes,
    readDeclaration({ endpoints }, () => {}),
    0,
  );
  const parts = (node: string, more: Partial<DeliveryParts> = {}): DeliveryParts => ({
    ...{ log: routedLog(log, routingMark), cursors, clock, node, hubLog: silentLog },
    storeTime: () => clock.now(),
    chance: () => 1,
    sinkOf: ({ name }) => sinks.get(name) as TestSink,
    enriched: async (endpoint, records) => records.map((record) => ({ ...record, enrichments: [['to', endpoint]] })),
    changed: ({ name }, before, now) => changes.push(`${name}: ${before.health} -> ${now.health}`),
    ...more,
  });
  const put = async (partition: number, slots: number, count = 1): Promise<void> => {
    for (let at = 0; at < count; at += 1) {
      const record = recordCodec.encode(stamp, { system: {}, properties: [], body: Buffer.alloc(100) }, 1);
      writeRoutingMark(record, 0, slots);
      const place = log.writer.reserve(partition, record.length);
      record.copy(log.writer.bytes(partition), place);
    }
    await log.commit();
  };
  /** Lets time pass in steps, so that what waits for each other gets its turn. */
  const pass = async (ms: number, stepMs = 50): Promise<void> => {
    for (let gone = 0; gone <= ms; gone += stepMs) {
      clock.advance(Math.min(stepMs, ms - gone));
      for (let turns = 0; turns < 20; turns += 1) await turn();
    }
  };
  const started = async (node = 'n1', more?: Partial<DeliveryParts>): Promise<Delivery> => {
    const delivery = new Delivery(parts(node, more));
    delivery.follow(set);
    await pass(100);
    return delivery;
  };
  const declare = async (next: RouteSet = set): Promise<void> => {
    assert.ok(await routes.replace(next, [0, 0]));
  };
  return { clock, log, cursors, sinks, changes, set, put, pass, started, declare };
}

const sequences = (partition: number, from: number, to: number): readonly string[] =>
  Array.from({ length: to - from }, (_, at) => `${partition}-${from + at}`);

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
