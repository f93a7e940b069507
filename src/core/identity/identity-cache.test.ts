import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits } from '../../base/limits.ts';
import { exampleIdentity } from '../../stores/contract/identities.ts';
import { createMemoryIdentityStore } from '../../stores/memory/identities.ts';
import { IdentityCache } from './identity-cache.ts';
import type { IdentityChange, IdentityStore } from './ports.ts';
import type { Identity } from './types.ts';

/** The memory store with its accesses counted and, where wanted, held back. */
function counted(): { store: IdentityStore; gets: () => number; hold: () => () => void } {
  const inner = createMemoryIdentityStore();
  let gets = 0;
  let gate: Promise<void> | undefined;
  return {
    store: {
      ...inner,
      async get(key) {
        gets++;
        const identity = await inner.get(key);
        await gate;
        return identity;
      },
    },
    gets: () => gets,
    hold() {
      let open = (): void => {};
      gate = new Promise((resolve) => {
        open = resolve;
      });
      return () => {
        gate = undefined;
        open();
      };
    },
  };
}

const create = (store: IdentityStore, deviceId: string, changes: Partial<Identity> = {}): Promise<unknown> =>
  store.write([{ kind: 'create', identity: exampleIdentity({ deviceId }, changes), countMax: 100 }]);

test('a known identity costs one access, and every change is seen at once', async () => {
  const { store, gets } = counted();
  const cache = new IdentityCache(store);
  await create(store, 'd1');
  for (let times = 0; times < 3; times++) assert.equal((await cache.load({ deviceId: 'd1' }))?.deviceId, 'd1');
  assert.equal(gets(), 1);
  const changed = exampleIdentity({ deviceId: 'd1' }, { status: 'disabled' });
  await store.write([{ kind: 'replace', identity: changed, ifMatch: '*' }]);
  assert.equal(cache.peek({ deviceId: 'd1' })?.status, 'disabled');
  await store.write([{ kind: 'delete', key: { deviceId: 'd1' }, ifMatch: '*' }]);
  assert.equal(await cache.load({ deviceId: 'd1' }), undefined);
  await create(store, 'd1', { generationId: '2' });
  assert.equal((await cache.load({ deviceId: 'd1' }))?.generationId, '2');
});

test('what another node tells comes in any order, and twice: the store says what is so', async () => {
  const store = createMemoryIdentityStore();
  let hear = (_: IdentityChange): void => {};
  const watchOwnWrites: IdentityStore['watchOwnWrites'] = (listener) => {
    hear = (change) => listener({ ...change, isElsewhere: true });
    return store.watchOwnWrites(listener);
  };
  const cache = new IdentityCache({ ...store, watchOwnWrites });
  await create(store, 'd1');
  assert.equal((await cache.load({ deviceId: 'd1' }))?.status, 'enabled');
  const before = exampleIdentity({ deviceId: 'd1' });
  await store.write([{ kind: 'replace', identity: { ...before, status: 'disabled' }, ifMatch: '*' }]);
  hear({ kind: 'replaced', identity: before });
  assert.equal((await cache.load({ deviceId: 'd1' }))?.status, 'disabled');
});

test('an unknown id costs one access until it is created', async () => {
  const { store, gets } = counted();
  const cache = new IdentityCache(store);
  for (let times = 0; times < 3; times++) assert.equal(await cache.load({ deviceId: 'd1' }), undefined);
  assert.equal(gets(), 1);
  assert.equal(cache.peek({ deviceId: 'd1' }), null);
  await create(store, 'd1');
  assert.notEqual(await cache.load({ deviceId: 'd1' }), undefined);
});

test('an answer that is overtaken by a change is not kept', async () => {
  const { store, hold } = counted();
  const cache = new IdentityCache(store);
  const release = hold();
  const absent = cache.load({ deviceId: 'd1' });
  await create(store, 'd1');
  release();
  assert.equal((await absent)?.deviceId, 'd1');
  const second = new IdentityCache(store);
  const releaseSecond = hold();
  const stale = second.load({ deviceId: 'd1' });
  await store.write([{ kind: 'delete', key: { deviceId: 'd1' }, ifMatch: '*' }]);
  releaseSecond();
  assert.equal(await stale, undefined);
  assert.equal(await second.load({ deviceId: 'd1' }), undefined);
});

test('questions at the same time share one access, and a failed one is asked again', async () => {
  const { store, gets } = counted();
  await create(store, 'd1');
  let failing = true;
  const cache = new IdentityCache({
    ...store,
    get: (key) => (failing ? Promise.reject(new Error('the disk')) : store.get(key)),
  });
  await assert.rejects(cache.load({ deviceId: 'd1' }), /the disk/);
  failing = false;
  const answers = await Promise.all(Array.from({ length: 10 }, () => cache.load({ deviceId: 'd1' })));
  assert.ok(answers.every((identity) => identity?.deviceId === 'd1'));
  assert.equal(gets(), 1);
});

test('a full cache gives up what was not asked for the longest time', async () => {
  const { store, gets } = counted();
  const cache = new IdentityCache(store, 2);
  for (const deviceId of ['a', 'b', 'c']) await create(store, deviceId);
  await cache.load({ deviceId: 'a' });
  await cache.load({ deviceId: 'b' });
  await cache.load({ deviceId: 'a' });
  await cache.load({ deviceId: 'c' });
  assert.notEqual(cache.peek({ deviceId: 'a' }), undefined);
  assert.equal(cache.peek({ deviceId: 'b' }), undefined);
  assert.equal(gets(), 3);
});

test('the first refusal of an id costs one access, whether it exists or not, is here or not; later ones none', async () => {
  const { store, gets } = counted();
  for (const deviceId of ['here', 'stored']) await create(store, deviceId);
  const cache = new IdentityCache(store);
  await cache.load({ deviceId: 'here' });
  const refuse = async (deviceId: string): Promise<number> => {
    const before = gets();
    const wasHere = Boolean(cache.peek({ deviceId }));
    await cache.load({ deviceId });
    await cache.refused({ deviceId }, wasHere);
    return gets() - before;
  };
  for (const deviceId of ['here', 'stored', 'missing']) {
    assert.deepEqual([await refuse(deviceId), await refuse(deviceId)], [1, 0], deviceId);
  }
});

test('guesses of other ids push out what is known of an id alike, whether it exists or not', async () => {
  const { store, gets } = counted();
  await create(store, 'here');
  const cache = new IdentityCache(store);
  const refuse = async (deviceId: string): Promise<number> => {
    const before = gets();
    const wasHere = Boolean(cache.peek({ deviceId }));
    await cache.load({ deviceId });
    await cache.refused({ deviceId }, wasHere);
    return gets() - before;
  };
  for (const deviceId of ['here', 'missing']) assert.equal(await refuse(deviceId), 1);
  for (let nth = 0; nth < limits.unknownIdentityCacheMax; nth++) await refuse(`guess${nth}`);
  assert.equal(await refuse('here'), await refuse('missing'));
});
