import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AuthorityChange, AuthorityStore } from '../../core/identity/ports.ts';
import type { Authority } from '../../core/identity/types.ts';

const authority = (name: string, thumbprint: string, more: Partial<Authority> = {}): Authority => ({
  name,
  etag: `etag of ${name}`,
  certificate: Buffer.from(`certificate ${thumbprint}`).toString('base64'),
  thumbprint,
  verified: false,
  verificationCode: 'C0DE',
  createdTime: 1_800_000_000_001,
  updatedTime: 1_800_000_000_002,
  ...more,
});

/** What every `AuthorityStore` does. `open` gives a new, empty one. */
export function authorityStoreContract(
  name: string,
  open: () => Promise<{ readonly store: AuthorityStore; readonly close: () => Promise<void> }>,
): void {
  const withStore = (title: string, body: (store: AuthorityStore) => Promise<void>): void => {
    test(`${name}: ${title}`, async () => {
      const { store, close } = await open();
      try {
        await body(store);
      } finally {
        await close();
      }
    });
  };

  withStore('authorities are unique by name and by certificate, and bounded in number', async (store) => {
    const [b, a] = [authority('b', '01'), authority('a', '02', { verified: true, verificationCode: null })];
    assert.equal(await store.create(b, 2), 'created');
    assert.equal(await store.create(authority('b', '03'), 2), 'exists');
    assert.equal(await store.create(authority('c', '01'), 2), 'exists');
    assert.equal(await store.create(a, 2), 'created');
    assert.equal(await store.create(authority('c', '03'), 2), 'full');
    assert.deepEqual(await store.list(), [a, b]);
  });

  withStore('a change meets the state that it was made for, and is told after it is done', async (store) => {
    const told: AuthorityChange[] = [];
    const unwatch = store.watchOwnWrites((change) => void told.push(change));
    const made = authority('a', '01');
    const proved = { ...made, etag: 'second', verified: true, verificationCode: null };
    await store.create(made, 9);
    assert.equal(await store.replace(proved, 'other'), 'etagMismatch');
    assert.equal(await store.replace({ ...proved, name: 'b' }, '*'), 'notFound');
    assert.equal(await store.replace(proved, made.etag), 'replaced');
    assert.equal(await store.delete('a', made.etag), 'etagMismatch');
    assert.equal(await store.delete('a', 'second'), 'deleted');
    assert.equal(await store.delete('a', '*'), 'notFound');
    assert.deepEqual(told, [
      { kind: 'created', authority: made },
      { kind: 'replaced', authority: proved },
      { kind: 'deleted', authority: proved },
    ]);
    unwatch();
    await store.create(made, 9);
    assert.equal(told.length, 3);
  });

  withStore('intermediates belong to their authority, and the oldest leave first', async (store) => {
    const kept = (thumbprint: string, owner: string) => ({ authority: owner, thumbprint, certificate: 'AAAA' });
    await store.create(authority('a', '01'), 9);
    await store.create(authority('b', '02'), 9);
    for (const one of [kept('11', '01'), kept('12', '02'), kept('11', '01'), kept('13', '99'), kept('14', '01')]) {
      await store.keepIntermediate(one, 3);
    }
    assert.deepEqual(await store.intermediates(), [kept('11', '01'), kept('12', '02'), kept('14', '01')]);
    await store.keepIntermediate(kept('15', '02'), 3);
    assert.deepEqual(await store.intermediates(), [kept('12', '02'), kept('14', '01'), kept('15', '02')]);
    await store.delete('b', '*');
    assert.deepEqual(await store.intermediates(), [kept('14', '01')]);
  });
}
