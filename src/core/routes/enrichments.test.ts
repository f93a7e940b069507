import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits } from '../../base/limits.ts';
import type { IdentityKey } from '../identity/types.ts';
import { createEnrichments } from './enrichments.ts';
import type { RoutedRecord } from './ports.ts';
import { noRoutes, type RouteSet } from './types.ts';

const added = (key: string, value: string, ...endpoints: string[]): RouteSet['enrichments'][number] => ({
  ...{ key, value, endpoints },
});

/** A record whose bytes are its sender's name. */
function record(sender: string): RoutedRecord {
  const bytes = Buffer.from(sender);
  return { sequence: 0, time: 0, bytes, start: 0, end: bytes.length, isShown: true, slots: 1 };
}

function rig() {
  const world = {
    set: noRoutes as RouteSet,
    twins: new Map<string, object>(),
    now: 0,
    loads: [] as string[],
    fails: false,
    leftOut: [] as string[],
  };
  const enrichments = createEnrichments({
    current: () => world.set,
    hubName: 'hub',
    clock: { monotonic: () => world.now },
    leftOut: (endpoint, events) => world.leftOut.push(`${endpoint}: ${events}`),
    senderOf(bytes, start, end): IdentityKey | undefined {
      const [deviceId, moduleId] = bytes.toString('utf8', start, end).split('/');
      if (deviceId === '') return undefined;
      return moduleId === undefined ? { deviceId } : { deviceId, moduleId };
    },
    async loadTwin({ deviceId, moduleId }) {
      const name = moduleId === undefined ? deviceId : `${deviceId}/${moduleId}`;
      world.loads.push(name);
      if (world.fails) throw new Error('the tables do not answer');
      return world.twins.get(name);
    },
  });
  const values = async (endpoint: string, ...senders: string[]) =>
    (await enrichments.enriched(endpoint, senders.map(record))).map((event) => Object.fromEntries(event.enrichments));
  return { world, values };
}

test('texts, the name of the hub and values of the twin, each for its endpoints; what leads nowhere stays as it is written', async () => {
  const { world, values } = rig();
  world.set = {
    ...noRoutes,
    enrichments: [
      added('text', 'a b', 'one'),
      added('hub', '$iothubname', 'ONE', 'two'),
      added('n', '$twin.properties.reported.n', 'one'),
      added('all', '$twin.tags', 'one'),
      added('deep', '$twin.tags.a.b', 'one'),
      added('proto', '$twin.tags.constructor.name', 'one'),
    ],
  };
  world.twins.set('d', { tags: { a: { b: false } }, properties: { reported: { n: 0.5 }, desired: {} } });
  world.twins.set('d/m', { tags: { a: 'flat' }, properties: { reported: {}, desired: {} } });
  const proto = '$twin.tags.constructor.name';
  const fixed = { text: 'a b', hub: 'hub' };
  assert.deepEqual(await values('One', 'd', 'd/m', 'unknown', ''), [
    { ...fixed, n: '0.5', all: '{"a":{"b":false}}', deep: 'false', proto },
    { ...fixed, n: '$twin.properties.reported.n', all: '{"a":"flat"}', deep: '$twin.tags.a.b', proto },
    { ...fixed, n: '$twin.properties.reported.n', all: '$twin.tags', deep: '$twin.tags.a.b', proto },
    { ...fixed, n: '$twin.properties.reported.n', all: '$twin.tags', deep: '$twin.tags.a.b', proto },
  ]);
  world.loads.length = 0;
  assert.deepEqual(await values('two', 'd'), [{ hub: 'hub' }]);
  assert.deepEqual(await values('three', 'd'), [{}]);
  assert.deepEqual(world.loads, [], 'who asks for no twin reads none');
});

test('a twin is read once for many events, and again when it is old; one that cannot be read is no twin that is not there', async () => {
  const { world, values } = rig();
  world.set = { ...noRoutes, enrichments: [added('site', '$twin.tags.site', 'one')] };
  world.twins.set('d', { tags: { site: 'north' } });
  const many = Array.from({ length: 500 }, (_, at) => (at % 2 === 0 ? 'd' : `e${at}`));
  assert.equal((await values('one', ...many)).filter(({ site }) => site === 'north').length, 250);
  assert.equal(world.loads.length, 251);
  world.twins.set('d', { tags: { site: 'south' } });
  world.now = limits.routeTwinAgeMs;
  assert.deepEqual(await values('one', 'd'), [{ site: 'north' }]);
  world.now += 1;
  world.fails = true;
  await assert.rejects(values('one', 'd'), /the tables do not answer/);
  world.fails = false;
  assert.deepEqual(await values('one', 'd'), [{ site: 'south' }]);
  world.set = { ...world.set, number: 1, enrichments: [] };
  assert.deepEqual(await values('one', 'd'), [{}]);
});

test('an event that would be too large goes without its enrichments, and that is told', async () => {
  const { world, values } = rig();
  world.set = { ...noRoutes, enrichments: [added('all', '$twin.tags', 'one'), added('hub', '$iothubname', 'one')] };
  // `all` and `hub` are the keys; each of the letters takes two bytes.
  const rest = limits.enrichedEventBytesMax - 'all'.length - 'hub'.length * 2 - '{"a":""}'.length;
  world.twins.set('d', { tags: { a: 'ä'.repeat((rest - 1) / 2) } });
  world.twins.set('e', { tags: { a: 'ä'.repeat((rest - 1) / 2) } });
  const [fits] = await values('one', 'd');
  assert.deepEqual([Object.keys(fits), world.leftOut], [['all', 'hub'], []]);
  world.twins.set('e', { tags: { a: `${'ä'.repeat((rest - 1) / 2)}x` } });
  const [small, large] = await values('one', 'none', 'e');
  assert.deepEqual([small, large, world.leftOut], [{ all: '$twin.tags', hub: 'hub' }, {}, ['one: 1']]);
});

test('where enrichments add much, fewer events come together', async () => {
  const { world, values } = rig();
  world.set = { ...noRoutes, enrichments: [added('all', '$twin.tags', 'one')] };
  world.twins.set('d', { tags: { a: 'x'.repeat(32 * 1024) } });
  const some = await values('one', ...Array.from({ length: 1000 }, () => 'd'));
  assert.ok(some.length > 100 && some.length * 32 * 1024 <= limits.enrichmentsBytesMax, `${some.length} at once`);
  assert.equal((await values('two', ...Array.from({ length: 1000 }, () => 'd'))).length, 1000);
});
