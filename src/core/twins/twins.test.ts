import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createMemoryIdentityStore } from '../../stores/memory/identities.ts';
import { createMemoryTwinStore } from '../../stores/memory/twins.ts';
import { createGuard, silentAudit } from '../identity/guard.ts';
import type { Identity, Principal } from '../identity/types.ts';
import type { TwinStore } from './ports.ts';
import { createTwins } from './twins.ts';

const key = { deviceId: 'd1' };
const clock = { now: () => Date.UTC(2026, 0, 1), monotonic: () => 0 };
const owner: Principal = {
  ...{ kind: 'policy', policyName: 'iothubowner', expiresAt: Number.POSITIVE_INFINITY, scope: [] },
  permissions: new Set(['ServiceConnect']),
};

/** @param between Runs before a twin is read, and behind its change. */
async function bench(between: (identities: ReturnType<typeof createMemoryIdentityStore>) => Promise<void>) {
  const identities = createMemoryIdentityStore();
  const store = createMemoryTwinStore(identities);
  await createIdentity(identities, 'first');
  const slow: TwinStore = {
    ...store,
    async load(...parameters) {
      await between(identities);
      return store.load(...parameters);
    },
    async change(...parameters) {
      const outcome = await store.change(...parameters);
      await between(identities);
      return outcome;
    },
  };
  const presence = { state: async () => ({ connected: false, connectionStateUpdatedTime: 0, lastActivityTime: 0 }) };
  const parts = { guard: createGuard(clock, silentAudit), store: slow, identities, presence, clock, withEvents: false };
  return createTwins({ ...parts, commandDepths: async () => [0] }).twins;
}

async function createIdentity(identities: ReturnType<typeof createMemoryIdentityStore>, generationId: string) {
  const identity: Identity = {
    ...{ ...key, generationId, etag: generationId, status: 'enabled', statusUpdatedTime: 0 },
    ...{ authentication: { type: 'none' }, iotEdge: false },
  } as unknown as Identity;
  await identities.write([{ kind: 'create', identity, countMax: 10 }]);
}

/** Once: what comes behind it is left alone. */
function recreating() {
  let isDone = false;
  return async (identities: ReturnType<typeof createMemoryIdentityStore>): Promise<void> => {
    if (isDone) return;
    isDone = true;
    await identities.write([{ kind: 'delete', key, ifMatch: '*' }]);
    await createIdentity(identities, 'second');
  };
}

test('a twin that is read while its device is re-created is of one generation', async () => {
  const twins = await bench(recreating());
  const { identity, twin } = await twins.get(owner, key);
  assert.equal(identity.generationId, 'second');
  assert.deepEqual(twin.tags, {});
});

test('a change of a device that is re-created meanwhile is not said to be one of the new device', async () => {
  const twins = await bench(recreating());
  const changed = twins.change(owner, key, { kind: 'merge', tags: { floor: 1 } });
  await assert.rejects(changed, { code: 'DeviceNotFound' });
});
