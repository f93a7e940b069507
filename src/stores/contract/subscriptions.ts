import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Subscription, SubscriptionStore } from '../../core/presence/ports.ts';

/** What every `SubscriptionStore` does. `open` gives a new, empty one. */
export function subscriptionStoreContract(
  name: string,
  open: () => Promise<{ readonly store: SubscriptionStore; readonly close: () => Promise<void> }>,
): void {
  test(`${name}: a session belongs to one generation of one identity`, async () => {
    const { store, close } = await open();
    try {
      const device = { deviceId: 'd1' };
      const module = { deviceId: 'd1', moduleId: 'm1' };
      const twin: Subscription = { filter: '$iothub/twin/res/#', qos: 0 };
      const commands: Subscription = { filter: 'devices/d1/messages/devicebound/#', qos: 1 };
      assert.equal(await store.load(device, 'g1'), undefined);
      await store.save(device, 'g1', [twin, commands]);
      await store.save(module, 'g1', []);
      assert.deepEqual(await store.load(device, 'g1'), [twin, commands]);
      assert.deepEqual(await store.load(module, 'g1'), []);
      assert.equal(await store.load(device, 'g2'), undefined);
      await store.save(device, 'g2', [commands]);
      assert.deepEqual(await store.load(device, 'g2'), [commands]);
      assert.equal(await store.load(device, 'g1'), undefined);
      await store.remove(device);
      await store.remove(device);
      assert.equal(await store.load(device, 'g2'), undefined);
      assert.deepEqual(await store.load(module, 'g1'), []);
    } finally {
      await close();
    }
  });
}
