import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../base/clock.ts';
import { DeviceConnection } from '../../core/devices/connection.ts';
import type { DeviceHub } from '../../core/devices/types.ts';
import { createGuard, silentAudit } from '../../core/identity/guard.ts';
import type { DevicePrincipal } from '../../core/identity/types.ts';
import { createSubscriptions } from '../../core/presence/calls.ts';
import type { SubscriptionStore } from '../../core/presence/ports.ts';
import type { DisconnectReason } from '../../core/presence/types.ts';
import { createMemorySubscriptionStore } from '../../stores/memory/subscriptions.ts';
import { enter } from './handshake.ts';

const key = { deviceId: 'd1' };
const generationId = 'g1';
const principal: DevicePrincipal = {
  ...{ kind: 'device', key, generationId, expiresAt: Number.POSITIVE_INFINITY },
  ...{ authScope: 'device', authType: 'sas' },
};

/** Enters and loses the connection while the store is asked for the session. */
async function enterAndEnd(subscriptions: SubscriptionStore, clean: boolean): Promise<readonly DisconnectReason[]> {
  const released: DisconnectReason[] = [];
  const ticket = { release: (reason: DisconnectReason) => void released.push(reason), touch: () => {} };
  // Nothing else of the hub is asked for.
  const hub = { admission: { claim: async () => ticket }, events: { ready: () => undefined } } as unknown as DeviceHub;
  const receiver = { drop: () => {}, commandsWait: () => {} };
  const device = new DeviceConnection(hub, principal, { protocol: 'mqtt', peer: '127.0.0.1' }, receiver);
  const asked: SubscriptionStore = {
    ...subscriptions,
    async load(...parameters) {
      const session = await subscriptions.load(...parameters);
      device.release('connection-lost');
      return session;
    },
  };
  const guard = createGuard(new VirtualClock(), silentAudit);
  assert.equal(await enter(createSubscriptions(guard, asked), device, clean), undefined);
  return released;
}

test('a connection that ends before it is let in does not touch the session, which may be its successor’s', async () => {
  const subscriptions = createMemorySubscriptionStore();
  await subscriptions.save(key, generationId, [{ filter: 'f', qos: 1 }]);
  assert.deepEqual(await enterAndEnd(subscriptions, true), ['connection-lost']);
  assert.deepEqual(await subscriptions.load(key, generationId), [{ filter: 'f', qos: 1 }]);
});

test('nor does it begin one', async () => {
  const subscriptions = createMemorySubscriptionStore();
  assert.deepEqual(await enterAndEnd(subscriptions, false), ['connection-lost']);
  assert.equal(await subscriptions.load(key, generationId), undefined);
});
