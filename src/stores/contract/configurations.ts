import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { seededRandom } from '../../base/random.ts';
import { makeModules } from '../../core/configurations/modules.ts';
import type { ConfigurationStore } from '../../core/configurations/ports.ts';
import type { Configuration } from '../../core/configurations/types.ts';
import type { IdentityKey } from '../../core/identity/types.ts';
import type { DesiredNote } from '../../core/twins/ports.ts';
import { readTwinChange } from '../../core/twins/rules.ts';
import { type ConfiguredFleet, ModelFleet } from './configurations-model.ts';
import { exampleIdentity } from './identities.ts';

export interface ConfigurationTrial extends ConfiguredFleet {
  /** A second node over the same tables; absent where there can be none. */
  readonly another?: ConfigurationStore;
  /** The same after a restart; absent where nothing outlives the store. */
  reopen?(): Promise<ConfiguredFleet>;
  readonly close: () => Promise<void>;
}

const SEED = Number(process.env.MOORING_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));

const configuration = (id: string, change: Partial<Configuration> = {}): Configuration => ({
  ...{ id, schemaVersion: '1.0', labels: {}, priority: 1, targetCondition: '*', metrics: {}, etag: `${id}-1` },
  ...{ content: { deviceContent: { 'properties.desired.a': id } }, createdTime: 1000, lastUpdatedTime: 1000 },
  ...change,
});
const terms = (countMax: number) => ({ countMax, time: 5000, withEvents: false });

async function create({ identities }: ConfiguredFleet, keys: readonly IdentityKey[], isEdge = false): Promise<void> {
  const writes = keys.map((key) => {
    const capabilities = { iotEdge: isEdge && key.moduleId === undefined };
    const identity = exampleIdentity(key, { generationId: 'g1', capabilities });
    return { kind: 'create' as const, identity, countMax: 10_000 };
  });
  for (const { kind } of await identities.write(writes)) assert.equal(kind, 'done');
}

const devices = (count: number): readonly IdentityKey[] =>
  Array.from({ length: count }, (_, at) => ({ deviceId: `d${String(at).padStart(3, '0')}` }));

async function change({ twins }: ConfiguredFleet, key: IdentityKey, body: unknown): Promise<void> {
  const outcome = await twins.change(key, readTwinChange(Buffer.from(JSON.stringify(body)), 'merge'), {
    ...{ ifMatch: '*', time: 4000, withEvents: false },
  });
  assert.equal(outcome.kind, 'done');
}

/** Steps until there is nothing to do; modules that are missing are made. @returns how many twins were changed */
async function drain(
  { store, identities }: Pick<ConfiguredFleet, 'store' | 'identities'>,
  countMax = 7,
): Promise<number> {
  let changed = 0;
  for (let n = 0; n < 10_000; n++) {
    const step = await store.step(terms(countMax));
    changed += step.changed;
    const making = { identities, random: seededRandom(n), modulesPerDeviceMax: 50 };
    for (const { deviceId, modules } of step.missing) await makeModules(making, deviceId, modules);
    await store.settle(step.missing);
    if (step.kind === 'idle') return changed;
  }
  return assert.fail('it comes to an end');
}

async function desired({ twins }: ConfiguredFleet, key: IdentityKey): Promise<unknown> {
  return JSON.parse(JSON.stringify((await twins.load(key))?.twin.desired.values));
}

/** What every `ConfigurationStore` does. `open` gives a new, empty one, with the fleet that it is about. */
export function configurationStoreContract(name: string, open: () => Promise<ConfigurationTrial>): void {
  const trial = (title: string, body: (parts: ConfigurationTrial) => Promise<void>): void => {
    test(`${name}: ${title}`, async () => {
      const parts = await open();
      try {
        await body(parts);
      } finally {
        await parts.close();
      }
    });
  };

  trial('a configuration is kept as it was written; its content stays, its number is its own', async (parts) => {
    const { store } = parts;
    const first = configuration('c1', { labels: { l: 'x' }, metrics: { m: 'select deviceId from devices' } });
    const created = await store.create(first, 2);
    assert.ok(created.kind === 'done');
    assert.deepEqual(await store.create(first, 2), { kind: 'exists' });
    assert.equal((await store.create(configuration('b'), 2)).kind, 'done');
    assert.deepEqual(await store.create(configuration('c3'), 2), { kind: 'full' });
    assert.deepEqual(
      (await store.list()).map(({ id }) => id),
      ['b', 'c1'],
    );
    const kept = (await parts.reopen?.())?.store ?? store;
    const { serial, systemCounts, metricCounts, isEverywhere, ...own } = (await kept.get('c1'))!;
    assert.deepEqual(JSON.parse(JSON.stringify(own)), first);
    assert.deepEqual([systemCounts, metricCounts], [{ targetedCount: 0, appliedCount: 0 }, { m: 0 }]);
    assert.equal(serial, created.kept.serial);

    const next = { ...first, content: undefined, priority: 7, etag: 'c1-2', lastUpdatedTime: 2000, createdTime: 9 };
    assert.deepEqual(await kept.replace(next, 'old'), { kind: 'etagMismatch' });
    assert.deepEqual(await kept.replace({ ...next, id: 'none' }, '*'), { kind: 'notFound' });
    const other = { deviceContent: { 'properties.desired.a': 'other' } };
    assert.deepEqual(await kept.replace({ ...next, content: other }, '*'), { kind: 'otherContent' });
    const replaced = await kept.replace({ ...next, content: first.content }, 'c1-1');
    assert.ok(replaced.kind === 'done');
    assert.deepEqual([replaced.kept.priority, replaced.kept.createdTime, replaced.kept.etag], [7, 1000, 'c1-2']);
    assert.equal(await kept.delete('c1', 'c1-1'), 'etagMismatch');
    assert.equal(await kept.delete('c1', 'c1-2'), 'deleted');
    assert.equal(await kept.delete('c1', '*'), 'notFound');
    const again = await kept.create(first, 2);
    assert.ok(again.kind === 'done' && again.kept.serial > serial);
  });

  trial('who is quiet gets a new configuration while others change without end', async (parts) => {
    const busy = devices(120);
    await create(parts, devices(130));
    assert.equal((await parts.store.create(configuration('c1'), 9)).kind, 'done');
    for (const key of busy) await change(parts, key, { tags: { n: 0 } });
    for (let n = 1; n <= 70; n++) {
      await parts.store.step(terms(8));
      for (let at = 0; at < 8; at++) await change(parts, busy[(n * 8 + at) % busy.length], { tags: { n } });
    }
    assert.deepEqual(await desired(parts, { deviceId: 'd129' }), { a: 'c1' });
    await drain(parts);
    assert.deepEqual((await parts.store.get('c1'))?.systemCounts, { targetedCount: 130, appliedCount: 130 });
  });

  trial('a walk reaches everybody once, in steps, and goes on after a restart', async (parts) => {
    await create(parts, devices(50));
    const heard: DesiredNote[] = [];
    parts.twins.watchOwnWrites((note) => heard.push(note));
    await parts.store.create(configuration('c'), 10);
    for (let n = 0; n < 3; n++) assert.equal((await parts.store.step(terms(7))).kind, 'more');
    assert.equal(heard.length, 21);
    const fleet = (await parts.reopen?.()) ?? parts;
    fleet.twins.watchOwnWrites((note) => heard.push(note));
    assert.equal((await fleet.store.get('c'))?.isEverywhere, false);
    assert.equal(await drain(fleet), 29);
    assert.ok((await fleet.store.get('c'))?.isEverywhere);
    assert.deepEqual(new Set(heard.map(({ key }) => key.deviceId)).size, 50);
    for (const key of devices(50)) {
      const kept = await fleet.twins.load(key);
      assert.equal(kept?.twin.desired.version, 2, 'each has been changed once');
    }
    assert.deepEqual((await fleet.store.get('c'))?.systemCounts, { targetedCount: 50, appliedCount: 50 });
    assert.equal(await drain(fleet), 0);
  });

  trial(
    'changes that nothing depends on leave no marks, and none does where there are no configurations',
    async (parts) => {
      const { store, twins } = parts;
      await create(parts, devices(2));
      const waiting = async (): Promise<number> => (await store.waiting(10)).marks;
      let woken = 0;
      store.watch(() => woken++);
      await change(parts, { deviceId: 'd000' }, { tags: { a: 1 } });
      assert.deepEqual([await waiting(), woken], [0, 0]);
      await store.create(configuration('c', { targetCondition: 'tags.a = 1' }), 10);
      await drain(parts);
      woken = 0;
      const patch = { text: '{"r":1}', sizeMax: 9 };
      await twins.report([{ key: { deviceId: 'd000' }, generationId: 'g1', patch }], { time: 1, withEvents: false });
      if (name !== 'memory')
        assert.deepEqual([await waiting(), woken], [0, 0], 'no condition asks for what is reported');
      await change(parts, { deviceId: 'd000' }, { tags: { a: 2 } });
      assert.equal(await waiting(), 1);
      assert.ok(woken > 0);
      assert.equal(await drain(parts), 1);
      await store.delete('c', '*');
      await drain(parts);
      await store.rest();
      await change(parts, { deviceId: 'd000' }, { tags: { a: 1 } });
      assert.equal(await waiting(), 0);
    },
  );

  trial('a twin that cannot take what is set stays as it is, and is told', async (parts) => {
    const { store, twins } = parts;
    await create(parts, devices(1));
    const [key] = devices(1);
    const full = Object.fromEntries(Array.from({ length: 8 }, (_, at) => [`k${at}`, 'x'.repeat(4000)]));
    await change(parts, key, { properties: { desired: full } });
    await store.create(
      configuration('c', { content: { deviceContent: { 'properties.desired.n': 'y'.repeat(4000) } } }),
      10,
    );
    const refused: unknown[] = [];
    for (let n = 0; n < 3; n++) refused.push(...(await store.step(terms(5))).refused);
    assert.equal(refused.length, 1);
    assert.deepEqual({ ...(await twins.load(key))?.configurations }, { c: 'targeted' });
    assert.deepEqual((await store.get('c'))?.systemCounts, { targetedCount: 1, appliedCount: 0 });
    await change(parts, key, { tags: { any: 1 } });
    assert.deepEqual((await store.step(terms(5))).refused, [], 'it is told once');
    await change(parts, key, { properties: { desired: { k0: null } } });
    await drain(parts);
    assert.deepEqual({ ...(await twins.load(key))?.configurations }, { c: 'applied' });
  });

  trial(
    'a mark that one node has settled, and a change has left again, is not taken by another node that settles late',
    async (parts) => {
      const { store } = parts;
      const edge = { deviceId: 'edge' };
      await create(parts, [edge, { ...edge, moduleId: '$edgeAgent' }], true);
      const modules = { m: { type: 'docker' } };
      const content = { modulesContent: { $edgeAgent: { 'properties.desired': { modules } } } };
      await store.create(configuration('base', { content }), 10);
      let one = await store.step(terms(10));
      // A walk marks what it cannot do by itself.
      for (let steps = 0; one.missing.length === 0 && steps < 5; steps++) one = await store.step(terms(10));
      assert.deepEqual(
        one.missing.map(({ deviceId }) => deviceId),
        ['edge'],
      );
      const other = await (parts.another ?? store).step(terms(10));
      await (parts.another ?? store).settle(other.missing);
      await store.settle(one.missing);
      assert.equal((await store.waiting(10)).marks, 0);
      await change(parts, edge, { tags: { site: 'north' } });
      await store.settle(one.missing);
      assert.equal((await store.waiting(10)).marks, 1, 'the change is still to be looked at');
      await drain(parts);
      assert.equal((await store.waiting(10)).marks, 0);
    },
  );

  trial(
    'a deployment makes the modules that are missing, lays its layers, and takes back what it has set',
    async (parts) => {
      const { store, identities } = parts;
      const edge = { deviceId: 'edge' };
      await create(parts, [edge, { ...edge, moduleId: '$edgeAgent' }], true);
      await create(parts, devices(1));
      const module = { type: 'docker' };
      const base = (value: string) => ({
        modulesContent: {
          $edgeAgent: { 'properties.desired': { modules: { [value]: module } } },
          s: { 'properties.desired': { from: value } },
        },
      });
      const layer = {
        modulesContent: { $edgeAgent: { 'properties.desired.modules.l': module }, s: { 'properties.desired.more': 1 } },
      };
      await store.create(configuration('weak', { content: base('weak'), priority: 1 }), 10);
      await store.create(configuration('strong', { content: base('strong'), priority: 5 }), 10);
      await store.create(configuration('below', { content: layer, priority: 4 }), 10);
      await store.create(configuration('layer', { content: layer, priority: 6 }), 10);
      await drain(parts);
      assert.deepEqual(
        (await identities.listModules('edge')).map(({ moduleId, managedBy }) => [moduleId, managedBy]),
        [
          ['$edgeAgent', null],
          ['l', 'IotEdge'],
          ['s', null],
          ['strong', 'IotEdge'],
        ],
      );
      assert.deepEqual(await desired(parts, { ...edge, moduleId: 's' }), { from: 'strong', more: 1 });
      assert.deepEqual(await desired(parts, { ...edge, moduleId: '$edgeAgent' }), {
        modules: { strong: module, l: module },
      });
      const states = { weak: 'targeted', below: 'targeted', strong: 'applied', layer: 'applied' };
      assert.deepEqual({ ...(await parts.twins.load(edge))?.configurations }, states);
      assert.deepEqual((await store.get('strong'))?.systemCounts, {
        ...{ targetedCount: 1, appliedCount: 1, reportedSuccessfulCount: 0, reportedFailedCount: 0 },
      });

      const agent = { ...edge, moduleId: '$edgeAgent' };
      const version = (await parts.twins.load(agent))?.twin.desired.version;
      const report = { lastDesiredVersion: version, lastDesiredStatus: { code: 200 } };
      const patch = { text: JSON.stringify(report), sizeMax: 100 };
      await parts.twins.report([{ key: agent, generationId: 'g1', patch }], { time: 1, withEvents: false });
      await drain(parts);
      assert.equal((await store.get('strong'))?.systemCounts.reportedSuccessfulCount, 1);

      await identities.write([{ kind: 'delete', key: { ...edge, moduleId: 's' }, ifMatch: '*' }]);
      await drain(parts);
      assert.deepEqual(await desired(parts, { ...edge, moduleId: 's' }), { from: 'strong', more: 1 }, 'it comes back');
      await store.delete('strong', '*');
      await drain(parts);
      assert.deepEqual(await desired(parts, { ...edge, moduleId: 's' }), { from: 'weak', more: 1 });
      for (const id of ['weak', 'layer', 'below']) await store.delete(id, '*');
      await drain(parts);
      assert.deepEqual(await desired(parts, { ...edge, moduleId: 's' }), {});
      assert.deepEqual(await desired(parts, agent), {});
      assert.equal((await parts.twins.load(edge))?.configurations, undefined);
    },
  );

  trial(`random fleets and configurations are as the model has them (seed ${SEED})`, async (parts) => {
    const random = seededRandom(SEED);
    const fleet = new ModelFleet(parts, SEED);
    for (let round = 0; round < 25; round++) {
      for (let n = 0; n < 12; n++) {
        await fleet.act();
        if (random.next() < 0.3) await fleet.step(1 + Math.floor(random.next() * 4), false);
      }
      await fleet.step(1 + Math.floor(random.next() * 10), true);
      await fleet.check();
    }
  });

  trial('two that take steps over one fleet leave nobody out, and change nobody twice', async (parts) => {
    await create(parts, devices(60));
    for (const [at, key] of devices(60).entries()) await change(parts, key, { tags: { a: at % 2 } });
    await parts.store.create(configuration('c', { targetCondition: 'tags.a = 1' }), 10);
    const stores = [parts.store, parts.another ?? parts.store];
    let changed = 0;
    const work = async (store: ConfigurationStore): Promise<void> => {
      for (let n = 0; n < 1000; n++) {
        const step = await store.step(terms(4));
        changed += step.changed;
        if (step.kind === 'idle') return;
        if (step.kind === 'busy') await turn();
      }
      assert.fail('it comes to an end');
    };
    const tagging = async (): Promise<void> => {
      for (const [at, key] of devices(60).entries()) {
        if (at % 2 === 0) await change(parts, key, { tags: { a: 1 } });
      }
    };
    await Promise.all([...stores.map(work), tagging()]);
    await drain(parts);
    for (const key of devices(60)) {
      const kept = await parts.twins.load(key);
      assert.deepEqual([kept?.twin.desired.version, { ...kept?.configurations }], [2, { c: 'applied' }], key.deviceId);
    }
    assert.deepEqual((await parts.store.get('c'))?.systemCounts, { targetedCount: 60, appliedCount: 60 });
    assert.ok(changed <= 60);
  });
}
