import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { silentLog } from '../../base/log.ts';
import { readEndpoint } from '../../core/routes/endpoints/kinds.ts';
import { noRoutes, type RouteSet } from '../../core/routes/types.ts';
import { createMemoryEventLog } from '../../stores/memory/event-log.ts';
import { Shutdown } from '../lifecycle.ts';
import { type EventHubWish, openEndpointHubs } from './endpoint-hubs.ts';
import type { SetListener } from './open-routes.ts';

const setOf = (...names: readonly string[]): RouteSet => ({
  ...noRoutes,
  endpoints: names.map((name, slot) => ({
    ...{ slot, since: 1, endpoint: readEndpoint({ name, kind: 'eventHub' }, 'endpoint') },
  })),
});

/** Event hubs in memory that cannot be opened, or closed, while their names are in `broken`. */
async function rigOf(names: readonly string[], isBroken: readonly string[] = []) {
  const clock = new VirtualClock();
  const broken = new Set(isBroken);
  const opens: string[] = [];
  const open = new Set<string>();
  let listener: SetListener = () => {};
  let current = setOf(...names);
  const shutdown = new Shutdown({ ...silentLog, flush: () => {} });
  const hubs = await openEndpointHubs({
    routes: {
      current: () => current,
      watch(each) {
        listener = each;
        return () => {};
      },
    },
    async open({ name, partitions }: EventHubWish) {
      opens.push(name);
      if (broken.has(name)) throw new Error('the brokers are away');
      assert.ok(!open.has(name), `${name} is open already`);
      open.add(name);
      const close = async (): Promise<void> => {
        open.delete(name);
        if (broken.has(name)) throw new Error('the disk is full');
      };
      return { log: createMemoryEventLog({ name, partitionCount: partitions, clock }), close };
    },
    ...{ reserved: ['hub'], clock, log: silentLog, shutdown },
  });
  return {
    ...{ clock, broken, opens, open, hubs, shutdown },
    names: () => hubs.logs().map(({ name }) => name),
    async declare(...declared: readonly string[]) {
      current = setOf(...declared);
      await listener(current);
    },
    /** Lets time pass, and what it starts be done. */
    async pass(ms: number) {
      clock.advance(ms);
      for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
    },
  };
}

test('one that could not be opened is tried again by itself, and readers find it, though nothing is delivered to it', async () => {
  const rig = await rigOf(['a', 'b'], ['a']);
  let told = 0;
  rig.hubs.watch(() => void told++);
  assert.deepEqual(rig.names(), ['b']);
  await rig.pass(limits.endpointHubRetryMs);
  assert.deepEqual(rig.names(), ['b']);
  rig.broken.clear();
  await rig.pass(limits.endpointHubRetryMs);
  assert.deepEqual(rig.names(), ['a', 'b']);
  assert.deepEqual([told, rig.opens], [1, ['a', 'b', 'a', 'a']]);
  await rig.pass(10 * limits.endpointHubRetryMs);
  assert.equal(rig.opens.length, 4, 'once is enough');
});

test('one that is removed, or whose hub stops, is tried no more', async () => {
  const rig = await rigOf(['a', 'b'], ['a', 'b']);
  await rig.declare('b');
  await rig.pass(limits.endpointHubRetryMs);
  assert.deepEqual(rig.opens, ['a', 'b', 'b']);
  await rig.shutdown.run();
  rig.broken.clear();
  await rig.pass(10 * limits.endpointHubRetryMs);
  assert.deepEqual(rig.opens, ['a', 'b', 'b']);
  assert.deepEqual(rig.names(), []);
});

test('one that cannot be closed keeps no other from opening or closing', async () => {
  const rig = await rigOf(['a', 'b']);
  rig.broken.add('a');
  await rig.declare('c');
  assert.deepEqual(rig.names(), ['c']);
  assert.deepEqual([...rig.open], ['c']);
});

test('it is open once, also where those who are told of it fail', async () => {
  const rig = await rigOf([]);
  rig.hubs.watch(() => Promise.reject(new Error('the thread has ended')));
  await rig.declare('a');
  assert.deepEqual(rig.names(), ['a']);
  const endpoint = setOf('a').endpoints[0].endpoint as Parameters<typeof rig.hubs.of>[0];
  await rig.hubs.of(endpoint).catch(() => {});
  await rig.pass(limits.endpointHubRetryMs);
  assert.equal((await rig.hubs.of(endpoint)).name, 'a');
  assert.deepEqual(rig.opens, ['a']);
});
