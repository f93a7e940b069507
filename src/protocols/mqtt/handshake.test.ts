import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SubscriptionStore } from '../../core/presence/ports.ts';
import type { ConnectionClaim, DisconnectReason } from '../../core/presence/types.ts';
import { createMemorySubscriptionStore } from '../../stores/memory/subscriptions.ts';
import { enter } from './handshake.ts';

const key = { deviceId: 'd1' };
const generationId = 'g1';
const claim: ConnectionClaim = {
  ...{ key, generationId, protocol: 'mqtt', credential: 'sas', peer: '127.0.0.1' },
  drop: () => {},
};

/** Enters and loses the connection while the store is asked for the session. */
async function enterAndEnd(subscriptions: SubscriptionStore, clean: boolean): Promise<readonly DisconnectReason[]> {
  const released: DisconnectReason[] = [];
  let ended = false;
  const asked: SubscriptionStore = {
    ...subscriptions,
    async load(...parameters) {
      const session = await subscriptions.load(...parameters);
      ended = true;
      return session;
    },
  };
  const ticket = { release: (reason: DisconnectReason) => void released.push(reason), touch: () => {} };
  const hub = { subscriptions: asked, presence: { ...notAsked, claim: async () => ticket } };
  const entered = await enter(hub, claim, { clean, hasEnded: () => ended });
  assert.equal(entered, undefined);
  return released;
}

const refuse = async (): Promise<never> => assert.fail('not asked for');
const notAsked = {
  state: refuse,
  connectedDevices: refuse,
  drop: refuse,
  dropAuthority: refuse,
  wake: refuse,
  dropAll: refuse,
};

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
