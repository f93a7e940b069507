import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CursorStore, HeldCursor, RouteStore } from '../../core/routes/ports.ts';
import { nextSet } from '../../core/routes/rules.ts';
import { type Endpoint, noRoutes, type RouteSet } from '../../core/routes/types.ts';

export interface RoutesTrial {
  readonly routes: RouteStore;
  readonly cursors: CursorStore;
  readonly close: () => Promise<void>;
}

const NOW = Date.UTC(2026, 0, 1);
const LEASE = 15_000;

const topic = (name: string): Endpoint => ({
  ...{ kind: 'kafka', name, brokers: ['localhost:9092'], topic: 'events', tls: false },
  ...{ mechanism: 'plain', user: 'u', password: 'very-secret' },
});
const after = (set: RouteSet, names: readonly string[], now = NOW): RouteSet =>
  nextSet(set, { ...set, endpoints: names.map(topic) }, now);
const terms = (node: string, now = NOW, countMax = 100) => ({ node, now, leaseMs: LEASE, countMax });
const partitionsOf = (held: readonly HeldCursor[]): readonly number[] => held.map(({ hold }) => hold.partition);

/** What every `RouteStore` with its `CursorStore` does. `open` gives new, empty ones. */
export function routesContract(name: string, open: () => Promise<RoutesTrial>): void {
  const trial = (what: string, run: (opened: RoutesTrial) => Promise<void>) =>
    test(`${name}: ${what}`, async () => {
      const opened = await open();
      try {
        await run(opened);
      } finally {
        await opened.close();
      }
    });

  trial('a set comes in the place of the one before it, and of no other', async ({ routes }) => {
    assert.deepEqual(await routes.load(), noRoutes);
    assert.equal(await routes.number(), 0);
    const first = after(noRoutes, ['A']);
    assert.equal(await routes.replace(first, [0, 0]), true);
    assert.deepEqual(await routes.load(), first);
    assert.equal(await routes.replace(first, [0, 0]), false);
    const [second, other] = [after(first, ['A', 'b']), after(first, [])];
    const both = await Promise.all([routes.replace(second, [0, 0]), routes.replace(other, [0, 0])]);
    assert.deepEqual(both.sort(), [false, true]);
    assert.equal(await routes.number(), 2);
  });

  trial('cursors come and go with their endpoint, those that stay stay where they are', async ({ routes, cursors }) => {
    const first = after(noRoutes, ['A', 'b']);
    await routes.replace(first, [7, 9]);
    const facts = (await cursors.list()).map(({ endpoint, partition, sequence }) => [endpoint, partition, sequence]);
    const expected = [
      ['a', 0, 7],
      ['a', 1, 9],
      ['b', 0, 7],
      ['b', 1, 9],
    ];
    assert.deepEqual(facts, expected);
    const [held] = await cursors.claim({ endpoint: 'A', since: 1 }, terms('n'));
    assert.equal(await cursors.save(held.hold, { sequence: 8, put: [{ key: 'k', value: 'v' }] }), true);
    // The other one goes; what stays keeps its place.
    const second = after(first, ['a']);
    await routes.replace(second, [100, 100]);
    assert.deepEqual(
      (await cursors.list()).map(({ endpoint, since, partition, sequence, node }) => [
        endpoint,
        since,
        partition,
        sequence,
        node,
      ]),
      [
        ['a', 1, 0, 8, 'n'],
        ['a', 1, 1, 9, 'n'],
      ],
    );
    // One of the same name that comes again is another one.
    const third = after(second, []);
    await routes.replace(third, [100, 100]);
    assert.deepEqual(await cursors.list(), []);
    await routes.replace(after(third, ['A']), [200, 300]);
    assert.equal(await cursors.save(held.hold, { sequence: 10 }), false);
    assert.deepEqual(await cursors.claim({ endpoint: 'A', since: 1 }, terms('n')), []);
    const again = await cursors.claim({ endpoint: 'A', since: 4 }, terms('n'));
    assert.deepEqual(
      again.map(({ sequence }) => sequence),
      [200, 300],
    );
    assert.deepEqual(await cursors.rows(again[0].hold, undefined, 10), []);
  });

  trial('a cursor has one owner, until its lease ends or it lets it go', async ({ routes, cursors }) => {
    await routes.replace(after(noRoutes, ['a']), [0, 0, 0, 0]);
    const of = { endpoint: 'a', since: 1 };
    const first = await cursors.claim(of, terms('n1', NOW, 2));
    assert.deepEqual(partitionsOf(first), [0, 1]);
    const second = await cursors.claim(of, terms('n2'));
    assert.deepEqual(partitionsOf(second), [2, 3]);
    // Its own again, which renews them.
    assert.deepEqual(await cursors.claim(of, terms('n1', NOW + LEASE - 1, 2)), first);
    assert.deepEqual(partitionsOf(await cursors.claim(of, terms('n1', NOW + LEASE - 1))), [0, 1]);
    assert.equal(await cursors.save(first[0].hold, { sequence: 5 }), true);
    // n2 has said nothing: what it held is n1's.
    const all = await cursors.claim(of, terms('n1', NOW + LEASE));
    assert.deepEqual(
      all.map(({ sequence }) => sequence),
      [5, 0, 0, 0],
    );
    assert.equal(await cursors.save(second[0].hold, { sequence: 9, put: [{ key: 'x', value: 'y' }] }), false);
    assert.deepEqual(await cursors.rows(second[0].hold, undefined, 10), []);
    await cursors.release(second[0].hold);
    assert.deepEqual(partitionsOf(await cursors.claim(of, terms('n2', NOW + LEASE))), []);
    await cursors.release(all[2].hold);
    const [taken] = await cursors.claim(of, terms('n2', NOW + LEASE));
    assert.equal(taken.hold.partition, 2);
    assert.ok(taken.hold.fence > all[2].hold.fence);
    // The same node may hold it again: what it held before is not that.
    assert.equal(await cursors.save(all[2].hold, { sequence: 1 }), false);
  });

  trial(
    'a newer process of a node has at once what an older one held, which moves nothing any more',
    async (opened) => {
      const { routes, cursors } = opened;
      await routes.replace(after(noRoutes, ['a']), [0, 0, 0]);
      const of = { endpoint: 'a', since: 1 };
      const older = await cursors.claim(of, terms('n/1', NOW, 2));
      const [others] = await cursors.claim(of, terms('nn/3'));
      const newer = await cursors.claim(of, terms('n/2', NOW + 1));
      assert.deepEqual(partitionsOf(newer), [0, 1]);
      assert.equal(await cursors.save(newer[0].hold, { sequence: 7 }), true);
      assert.equal(await cursors.save(older[0].hold, { sequence: 3, put: [{ key: 'x', value: 'y' }] }), false);
      await cursors.release(older[1].hold);
      assert.deepEqual(partitionsOf(await cursors.claim(of, terms('nn/3', NOW + 2))), [2]);
      assert.deepEqual(await cursors.rows(newer[0].hold, undefined, 10), []);
      assert.deepEqual(
        (await cursors.claim(of, terms('n/2', NOW + 3))).map(({ sequence }) => sequence),
        [7, 0],
      );
      assert.equal(await cursors.save(others.hold, { sequence: 1 }), true);
    },
  );

  trial('nodes that claim at the same time get each cursor once', async ({ routes, cursors }) => {
    const count = 8;
    await routes.replace(after(noRoutes, ['a']), new Array(count).fill(0));
    const of = { endpoint: 'a', since: 1 };
    const all = await Promise.all(['n1', 'n2', 'n3'].map((node) => cursors.claim(of, terms(node, NOW, 4))));
    const partitions = all.flatMap(partitionsOf);
    assert.equal(partitions.length, count);
    assert.equal(new Set(partitions).size, count);
  });

  trial('rows beside a cursor are kept with it', async ({ routes, cursors }) => {
    await routes.replace(after(noRoutes, ['a']), [0, 0]);
    const [held, other] = await cursors.claim({ endpoint: 'a', since: 1 }, terms('n'));
    const put = ['b', 'a', 'c'].map((key) => ({ key, value: `of ${key}` }));
    assert.equal(await cursors.save(held.hold, { sequence: 1, put }), true);
    assert.deepEqual(
      (await cursors.rows(held.hold, undefined, 10)).map(({ key }) => key),
      ['a', 'b', 'c'],
    );
    assert.deepEqual(await cursors.rows(held.hold, 'a', 1), [{ key: 'b', value: 'of b' }]);
    assert.deepEqual(await cursors.rows(other.hold, undefined, 10), []);
    assert.equal(
      await cursors.save(held.hold, { sequence: 2, put: [{ key: 'a', value: 'new' }], remove: ['b'] }),
      true,
    );
    assert.deepEqual(await cursors.rows(held.hold, undefined, 10), [
      { key: 'a', value: 'new' },
      { key: 'c', value: 'of c' },
    ]);
  });
}
