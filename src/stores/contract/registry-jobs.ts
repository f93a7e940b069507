import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { IdentityStore } from '../../core/identity/ports.ts';
import type { RegistryJobStore, RegistryPages } from '../../core/registry-jobs/ports.ts';
import { freshCursor, noCounts, type RegistryJob } from '../../core/registry-jobs/types.ts';
import type { TwinStore } from '../../core/twins/ports.ts';
import { exampleIdentity } from './identities.ts';

export interface OpenedJobs {
  readonly jobs: RegistryJobStore;
  readonly pages: RegistryPages;
  readonly identities: IdentityStore;
  readonly twins: TwinStore;
  readonly close: () => Promise<void>;
}

const NOW = Date.UTC(2026, 0, 1);
const LEASE = 30_000;

const job = (id: string, createdTime = NOW): RegistryJob => ({
  id,
  plan: {
    kind: 'import',
    inputUri: 'https://a.example/c?sig=secret',
    outputUri: 'https://a.example/c?sig=secret',
    inputName: 'devices.txt',
    outputName: 'devices.txt',
    excludesKeys: false,
    configurationsName: null,
    withTwins: true,
    createdBy: 'iothubowner',
  },
  ...{ state: 'enqueued', reason: '', counts: noCounts, cursor: freshCursor, createdTime },
  ...{ startedTime: undefined, endedTime: undefined },
});
const step = (done: number, errors = '') => ({
  cursor: { ...freshCursor, offset: done * 10, after: { deviceId: 'd1', moduleId: 'm' } },
  counts: { total: 100, done, unchanged: 0, failed: errors === '' ? 0 : 1 },
  errors,
});

/** What every `RegistryJobStore` does, and the pages beside it. `open` gives new, empty ones. */
export function registryJobContract(name: string, open: () => Promise<OpenedJobs>): void {
  const trial = (what: string, run: (opened: OpenedJobs) => Promise<void>) =>
    test(`${name}: ${what}`, async () => {
      const opened = await open();
      try {
        await run(opened);
      } finally {
        await opened.close();
      }
    });

  trial('one job at a time is open, and comes back as it was given', async ({ jobs }) => {
    assert.equal(await jobs.isOneOpen(), false);
    assert.equal(await jobs.find('a'), undefined);
    assert.equal(await jobs.create(job('a')), 'created');
    assert.deepEqual(await jobs.find('a'), job('a'));
    assert.equal(await jobs.isOneOpen(), true);
    assert.equal(await jobs.create(job('b')), 'busy');
    const both = await Promise.all([jobs.cancel('a', NOW + 1), jobs.cancel('none', NOW)]);
    assert.deepEqual(both, ['enqueued', undefined]);
    assert.deepEqual(await jobs.find('a'), { ...job('a'), state: 'cancelled', endedTime: NOW + 1 });
    assert.equal(await jobs.isOneOpen(), false);
    const created = await Promise.all(['c', 'd'].map((id) => jobs.create(job(id, NOW + 5))));
    assert.deepEqual(created.sort(), ['busy', 'created']);
    assert.deepEqual(
      (await jobs.list(1)).map(({ createdTime }) => createdTime),
      [NOW + 5],
    );
    assert.equal((await jobs.list(10)).length, 2);
  });

  trial(
    'a newer process of a node has at once what an older one held, which keeps nothing any more',
    async ({ jobs }) => {
      await jobs.create(job('a'));
      await jobs.claim('n/1', LEASE, NOW);
      assert.equal(await jobs.advance('a', 'n/1', step(3), LEASE, NOW + 1), 'kept');
      assert.equal(await jobs.claim('nn/3', LEASE, NOW + 2), undefined);
      assert.deepEqual((await jobs.claim('n/2', LEASE, NOW + 2))?.counts, step(3).counts);
      assert.equal(await jobs.advance('a', 'n/1', step(9, 'x\n'), LEASE, NOW + 3), 'lost');
      assert.equal(await jobs.end('a', 'n/1', { state: 'failed', reason: 'x' }, NOW + 3), false);
      await jobs.release('a', 'n/1');
      assert.equal(await jobs.claim('nn/3', LEASE, NOW + 3), undefined);
      assert.deepEqual(await jobs.errors('a', -1, 10), []);
      assert.equal(await jobs.advance('a', 'n/2', step(4), LEASE, NOW + 4), 'kept');
    },
  );

  trial('a holder has it until its lease ends; another one takes it up where it was', async ({ jobs }) => {
    assert.equal(await jobs.claim('n1', LEASE, NOW), undefined);
    await jobs.create(job('a'));
    const claimed = await jobs.claim('n1', LEASE, NOW);
    assert.deepEqual(claimed, { ...job('a'), state: 'running', startedTime: NOW });
    assert.equal(await jobs.claim('n2', LEASE, NOW + LEASE - 1), undefined);
    assert.equal((await jobs.claim('n1', LEASE, NOW + 1))?.id, 'a', 'its own holder may take it up again');
    assert.equal(await jobs.advance('a', 'n1', step(3, 'x\n'), LEASE, NOW + 10), 'kept');
    assert.equal(await jobs.advance('a', 'n1', step(4, 'y\nz\n'), LEASE, NOW + 20), 'kept');
    const taken = await jobs.claim('n2', LEASE, NOW + 20 + LEASE);
    assert.deepEqual([taken?.cursor, taken?.counts, taken?.startedTime], [step(4).cursor, step(4, 'e').counts, NOW]);
    assert.equal(await jobs.advance('a', 'n1', step(9), LEASE, NOW), 'lost');
    assert.equal(await jobs.end('a', 'n1', { state: 'completed', reason: '' }, NOW), false);
    assert.deepEqual(await jobs.errors('a', -1, 10), [
      { position: 0, text: 'x\n' },
      { position: 1, text: 'y\nz\n' },
    ]);
    assert.deepEqual(await jobs.errors('a', 0, 1), [{ position: 1, text: 'y\nz\n' }]);
    await jobs.release('a', 'n1');
    assert.equal(await jobs.claim('n1', LEASE, NOW + 30 + LEASE), undefined, 'only its holder gives it back');
    await jobs.release('a', 'n2');
    assert.equal((await jobs.claim('n1', LEASE, NOW + 30 + LEASE))?.id, 'a');
    assert.equal(await jobs.end('a', 'n1', { state: 'failed', reason: 'why' }, NOW + 99), true);
    const ended = await jobs.find('a');
    assert.deepEqual([ended?.state, ended?.reason, ended?.endedTime], ['failed', 'why', NOW + 99]);
    assert.equal(await jobs.claim('n1', LEASE, NOW + 9 * LEASE), undefined);
  });

  trial('one that was cancelled goes no further; errors and old jobs are swept', async ({ jobs }) => {
    await jobs.create(job('a'));
    await jobs.claim('n1', LEASE, NOW);
    await jobs.advance('a', 'n1', step(1, 'x\n'), LEASE, NOW);
    assert.equal(await jobs.cancel('a', NOW + 5), 'running');
    assert.equal(await jobs.advance('a', 'n1', step(2), LEASE, NOW + 6), 'cancelled');
    assert.equal(await jobs.end('a', 'n1', { state: 'completed', reason: '' }, NOW + 6), false);
    assert.equal(await jobs.cancel('a', NOW + 7), 'cancelled');
    assert.equal(await jobs.sweep(NOW, 10), 0);
    assert.deepEqual(await jobs.errors('a', -1, 10), []);
    assert.equal(await jobs.sweep(NOW + 6, 10), 1);
    assert.equal(await jobs.find('a'), undefined);
  });

  trial('pages hold identities with keys and twins, in order, none twice and none left out', async (opened) => {
    const { pages, identities, twins } = opened;
    const keys = ['a', 'B', 'c', 'c-1', 'd'].flatMap((deviceId) => [
      { deviceId },
      ...(deviceId === 'c'
        ? [
            { deviceId, moduleId: '$m' },
            { deviceId, moduleId: 'n' },
          ]
        : []),
    ]);
    await identities.write(
      keys.map((key) => ({ kind: 'create', identity: exampleIdentity(key), countMax: 100 }) as const),
    );
    const terms = { ifMatch: '*', time: NOW, withEvents: false };
    await twins.change({ deviceId: 'c', moduleId: 'n' }, { kind: 'merge', tags: { t: 1 }, desired: { x: 2 } }, terms);
    const generationId = (await identities.get({ deviceId: 'd' }))?.generationId ?? '';
    const patch = { text: '{"on":true}', sizeMax: 6 };
    await twins.report([{ key: { deviceId: 'd' }, generationId, patch }], { time: NOW, withEvents: false });
    for (const limit of [1, 2, 100]) {
      const found = [];
      let page = await pages.page(undefined, limit);
      while (page.length > 0) {
        assert.ok(page.length <= limit);
        found.push(...page);
        const { deviceId, moduleId } = page[page.length - 1].identity;
        page = await pages.page(moduleId === undefined ? { deviceId } : { deviceId, moduleId }, limit);
      }
      const names = found.map(({ identity }) => `${identity.deviceId}/${identity.moduleId ?? ''}`);
      assert.deepEqual(names, ['B/', 'a/', 'c/', 'c/$m', 'c/n', 'c-1/', 'd/']);
      for (const { identity } of found) assert.deepEqual(identity, await identities.get(identity));
      const [module, last] = [found[4].twin, found[6].twin];
      assert.deepEqual(
        [{ ...module.tags }, { ...module.desired.values }, module.desired.version],
        [{ t: 1 }, { x: 2 }, 2],
      );
      assert.deepEqual([{ ...last.reported.values }, last.reported.version, last.changes], [{ on: true }, 2, 1]);
    }
  });
}
