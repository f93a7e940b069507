import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PolicyStore } from '../../core/identity/ports.ts';
import type { Policy } from '../../core/identity/types.ts';

/** What every `PolicyStore` does. `open` gives a new, empty one. */
export function policyStoreContract(
  name: string,
  open: () => Promise<{ readonly store: PolicyStore; readonly close: () => Promise<void> }>,
): void {
  test(`${name}: policies come back as saved, in order, and a later save replaces them all`, async () => {
    const { store, close } = await open();
    try {
      assert.deepEqual(await store.load(), []);
      const policies: readonly Policy[] = [
        {
          name: 'z',
          primaryKey: 'cHJpbWFyeQ==',
          secondaryKey: 'c2Vjb25k',
          permissions: ['RegistryRead', 'ServiceConnect'],
        },
        { name: 'a', primaryKey: 'YQ==', secondaryKey: 'Yg==', permissions: [] },
      ];
      await store.save(policies);
      assert.deepEqual(await store.load(), policies);
      const fewer = [{ ...policies[1], primaryKey: 'bmV3' }];
      await store.save(fewer);
      assert.deepEqual(await store.load(), fewer);
    } finally {
      await close();
    }
  });
}
