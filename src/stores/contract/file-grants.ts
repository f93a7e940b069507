import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { GrantRecords } from '../../core/files/ports.ts';
import type { FileGrant } from '../../core/files/types.ts';
import type { IdentityStore } from '../../core/identity/ports.ts';
import type { IdentityKey } from '../../core/identity/types.ts';
import { exampleIdentity } from './identities.ts';

export interface OpenedGrants {
  readonly grants: GrantRecords;
  readonly identities: IdentityStore;
  readonly close: () => Promise<void>;
}

const NOW = Date.UTC(2026, 0, 1);
const d1: IdentityKey = { deviceId: 'd1' };
const m1: IdentityKey = { deviceId: 'd1', moduleId: 'm1' };
const firmware = '~hub/firmware.bin';

/** What every `GrantRecords` does. `open` gives new, empty ones. */
export function fileGrantsContract(name: string, open: () => Promise<OpenedGrants>): void {
  type Make = (id: string, more?: Partial<FileGrant>) => FileGrant;
  const trial = (what: string, run: (grants: GrantRecords, make: Make) => Promise<void>) =>
    test(`${name}: ${what}`, async () => {
      const { grants, identities, close } = await open();
      try {
        for (const key of [d1, m1]) {
          await identities.write([{ kind: 'create', identity: exampleIdentity(key), countMax: 100 }]);
        }
        const generation = async (key: IdentityKey) => (await identities.get(key))?.generationId ?? '';
        const generations = { d1: await generation(d1), m1: await generation(m1) };
        await run(grants, (id, more = {}) => ({
          id,
          key: d1,
          generationId: (more.key ?? d1).moduleId === undefined ? generations.d1 : generations.m1,
          path: firmware,
          name: 'firmware.bin',
          createdTime: NOW,
          expiresAt: NOW + 1000,
          grantedBy: 'service',
          fetched: undefined,
          ...more,
        }));
      } finally {
        await close();
      }
    });

  trial('a grant is found as it was given, by id and by name, until its time', async (grants, make) => {
    const grant = make('a');
    assert.deepEqual(await grants.grant([grant], 5, NOW), ['granted']);
    assert.deepEqual(await grants.find('a'), grant);
    assert.deepEqual(await grants.findByName(d1, 'firmware.bin', NOW + 999), grant);
    assert.equal(await grants.findByName(d1, 'firmware.bin', NOW + 1000), undefined);
    assert.equal(await grants.findByName(m1, 'firmware.bin', NOW), undefined);
    assert.equal(await grants.findByName(d1, 'other', NOW), undefined);
  });

  trial('a newer one of the same name takes its place; an identity has so many', async (grants, make) => {
    await grants.grant([make('a')], 2, NOW);
    assert.deepEqual(await grants.grant([make('b')], 2, NOW), ['granted']);
    assert.equal((await grants.findByName(d1, 'firmware.bin', NOW))?.id, 'b');
    assert.equal((await grants.find('a'))?.expiresAt, NOW);
    const more = [make('c', { name: 'c' }), make('e', { name: 'e' }), make('f', { key: m1 })];
    assert.deepEqual(await grants.grant(more, 2, NOW), ['granted', 'full', 'granted']);
    assert.deepEqual(await grants.grant([make('g', { generationId: 'other' })], 2, NOW), ['gone']);
  });

  trial('progress is kept, and a revoked one is gone', async (grants, make) => {
    await grants.grant([make('a')], 5, NOW);
    const half = {
      etag: 'e1',
      bytes: 5e9,
      sentBytes: 4e9,
      firstTime: NOW,
      lastTime: NOW + 1,
      completedTime: undefined,
    };
    await grants.progress('a', half);
    assert.deepEqual((await grants.find('a'))?.fetched, half);
    const whole = { ...half, sentBytes: 5e9, completedTime: NOW + 2 };
    await grants.progress('a', whole);
    assert.deepEqual((await grants.find('a'))?.fetched, whole);
    await grants.progress('none', whole);
    assert.equal(await grants.revoke('a'), true);
    assert.equal(await grants.revoke('a'), false);
    assert.equal(await grants.find('a'), undefined);
  });

  trial('lists are newest first, by page, of an identity or of a file', async (grants, make) => {
    await grants.grant(
      [make('a', { name: 'a' }), make('b', { name: 'b', path: '~hub/b' }), make('c', { key: m1 })],
      5,
      NOW,
    );
    await grants.grant([make('d', { name: 'd' })], 5, NOW);
    const ids = async (...args: Parameters<GrantRecords['list']>) => (await grants.list(...args)).map(({ id }) => id);
    assert.deepEqual(await ids({ key: d1 }, { limit: 10 }), ['d', 'b', 'a']);
    assert.deepEqual(await ids({ key: d1 }, { limit: 1, after: 'd' }), ['b']);
    assert.deepEqual(await ids({ path: firmware }, { limit: 10 }), ['d', 'c', 'a']);
  });

  trial('they go with their identity, and in time', async (grants, make) => {
    await grants.grant([make('a'), make('b', { key: m1 })], 5, NOW);
    await grants.forget(d1);
    assert.equal(await grants.find('a'), undefined);
    assert.equal(await grants.sweep(NOW + 1000, 10), 0);
    assert.equal(await grants.sweep(NOW + 1001, 10), 1);
    assert.equal(await grants.find('b'), undefined);
  });
}
