import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ConsumerGroupStore } from '../../core/events/ports.ts';

/** What every `ConsumerGroupStore` does. `open` gives a new, empty one. */
export function consumerGroupStoreContract(
  name: string,
  open: () => Promise<{ readonly store: ConsumerGroupStore; readonly close: () => Promise<void> }>,
): void {
  test(`${name}: consumer groups are kept as created and compared without regard to case`, async () => {
    const { store, close } = await open();
    try {
      assert.deepEqual(await store.list('hub'), []);
      assert.equal(await store.create('hub', { name: 'Zebra', createdTime: 1_800_000_000_001 }, 3), 'created');
      assert.equal(await store.create('hub', { name: '$Default', createdTime: 2 }, 3), 'created');
      assert.equal(await store.create('hub', { name: 'ZEBRA', createdTime: 3 }, 3), 'exists');
      assert.equal(await store.create('hub', { name: 'ant', createdTime: 4 }, 3), 'created');
      assert.equal(await store.create('hub', { name: 'bee', createdTime: 5 }, 3), 'full');
      assert.equal(await store.create('hub', { name: 'Ant', createdTime: 5 }, 3), 'exists');
      assert.equal(await store.create('other', { name: 'bee', createdTime: 6 }, 3), 'created');
      assert.deepEqual(await store.list('hub'), [
        { name: '$Default', createdTime: 2 },
        { name: 'ant', createdTime: 4 },
        { name: 'Zebra', createdTime: 1_800_000_000_001 },
      ]);
      assert.equal(await store.delete('hub', 'zEbRa'), 'deleted');
      assert.equal(await store.delete('hub', 'zEbRa'), 'notFound');
      assert.equal(await store.delete('hub', 'bee'), 'notFound');
      assert.deepEqual(await store.list('other'), [{ name: 'bee', createdTime: 6 }]);
    } finally {
      await close();
    }
  });
}
