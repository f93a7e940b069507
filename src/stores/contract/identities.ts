import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { identityName } from '../../core/identity/permissions.ts';
import type { IdentityChange, IdentityStore, IdentityWrite, IdentityWriteOutcome } from '../../core/identity/ports.ts';
import type { Identity, IdentityKey } from '../../core/identity/types.ts';

/** An identity with every field set to something, so that a lost one is seen. */
export function exampleIdentity(key: IdentityKey, changes: Partial<Identity> = {}): Identity {
  return {
    ...key,
    generationId: '123456789012345678',
    etag: 'MQ==',
    status: 'enabled',
    statusReason: null,
    statusUpdatedTime: 0,
    authentication: {
      type: 'sas',
      symmetricKey: {
        primaryKey: Buffer.from(`primary of ${identityName(key)} .....`).toString('base64'),
        secondaryKey: Buffer.from(`secondary of ${identityName(key)} .`).toString('base64'),
      },
      x509Thumbprint: null,
    },
    capabilities: { iotEdge: false },
    deviceScope: null,
    parentScopes: [],
    managedBy: null,
    ...changes,
  };
}

/**
 * What every `IdentityStore` does. `open` gives a new, empty one.
 * @param order Of writes that are not waited for: of all of them, or of those of one device and its modules. With the second, the number of
 * devices is looked at beside what others create in the same moment
 */
export function identityStoreContract(
  name: string,
  open: () => Promise<{ readonly store: IdentityStore; readonly close: () => Promise<void> }>,
  order: 'whole' | 'device' = 'whole',
): void {
  const using = (behaviour: string, body: (store: IdentityStore) => Promise<void>): void => {
    test(`${name}: ${behaviour}`, async () => {
      const { store, close } = await open();
      try {
        await body(store);
      } finally {
        await close();
      }
    });
  };
  const one = async (store: IdentityStore, write: IdentityWrite): Promise<IdentityWriteOutcome> =>
    (await store.write([write]))[0];
  const create = (store: IdentityStore, identity: Identity, countMax = 1000): Promise<IdentityWriteOutcome> =>
    one(store, { kind: 'create', identity, countMax });

  using('an identity comes back as it was written, with every field', async (store) => {
    const full = [
      exampleIdentity({ deviceId: "d-:.+%_#*?!(),=@;$'" }),
      exampleIdentity(
        { deviceId: 'x509' },
        {
          status: 'disabled',
          statusReason: "Zoë's \u{1f600} reason",
          statusUpdatedTime: 1_800_000_000_123,
          authentication: {
            type: 'selfSigned',
            symmetricKey: null,
            x509Thumbprint: { primaryThumbprint: null, secondaryThumbprint: 'AB'.repeat(20) },
          },
          capabilities: { iotEdge: true },
          deviceScope: 'ms-azure-iot-edge://x-1',
          parentScopes: ['ms-azure-iot-edge://p-1'],
        },
      ),
      exampleIdentity(
        { deviceId: 'ca' },
        { authentication: { type: 'certificateAuthority', symmetricKey: null, x509Thumbprint: null } },
      ),
      exampleIdentity({ deviceId: 'ca', moduleId: '$edgeAgent' }, { managedBy: 'iotEdge' }),
    ];
    for (const identity of full) {
      assert.deepEqual(await create(store, identity), { kind: 'done', identity });
      const { deviceId, moduleId } = identity;
      assert.deepEqual(await store.get(moduleId === undefined ? { deviceId } : { deviceId, moduleId }), identity);
    }
    assert.equal(await store.get({ deviceId: 'nobody' }), undefined);
    assert.equal(await store.get({ deviceId: 'ca', moduleId: 'nobody' }), undefined);
    assert.equal(await store.get({ deviceId: 'CA' }), undefined);
  });

  using('a second creation, a module without its device and one too many are refused', async (store) => {
    const device = exampleIdentity({ deviceId: 'd1' });
    assert.equal((await create(store, device, 2)).kind, 'done');
    assert.deepEqual(await create(store, { ...device, etag: 'other' }, 2), { kind: 'exists' });
    assert.equal((await store.get({ deviceId: 'd1' }))?.etag, device.etag);
    const orphan = exampleIdentity({ deviceId: 'd2', moduleId: 'm1' });
    assert.deepEqual(await create(store, orphan), { kind: 'deviceNotFound' });
    assert.equal((await create(store, exampleIdentity({ deviceId: 'd1', moduleId: 'm1' }), 1)).kind, 'done');
    assert.deepEqual(await create(store, exampleIdentity({ deviceId: 'd1', moduleId: 'm2' }), 1), { kind: 'full' });
    assert.equal((await create(store, exampleIdentity({ deviceId: 'd2' }), 2)).kind, 'done');
    assert.deepEqual(await create(store, exampleIdentity({ deviceId: 'd3' }), 2), { kind: 'full' });
    assert.deepEqual(await create(store, exampleIdentity({ deviceId: 'd2' }), 2), { kind: 'exists' });
  });

  using('a replacement keeps the generation, and the status time where the status stays', async (store) => {
    const device = exampleIdentity({ deviceId: 'd1' }, { statusUpdatedTime: 5 });
    await create(store, device);
    const wish = { ...device, generationId: 'other', etag: 'MTA=', statusUpdatedTime: 99, statusReason: 'seen' };
    const replaced = await one(store, { kind: 'replace', identity: wish, ifMatch: device.etag });
    const expected = { ...wish, generationId: device.generationId, statusUpdatedTime: 5 };
    assert.deepEqual(replaced, { kind: 'done', identity: expected });
    assert.deepEqual(await store.get({ deviceId: 'd1' }), expected);
    const disabled = { ...wish, status: 'disabled' as const };
    await one(store, { kind: 'replace', identity: disabled, ifMatch: '*' });
    assert.equal((await store.get({ deviceId: 'd1' }))?.statusUpdatedTime, 99);
    assert.deepEqual(await store.counts(), { devices: 1, enabled: 0, disabled: 1 });
  });

  using('replacing and deleting ask for the current ETag, and say what is missing', async (store) => {
    const device = exampleIdentity({ deviceId: 'd1' });
    const module = exampleIdentity({ deviceId: 'd1', moduleId: 'm1' });
    await create(store, device);
    const missing = exampleIdentity({ deviceId: 'd2' });
    assert.deepEqual(await one(store, { kind: 'replace', identity: device, ifMatch: 'x' }), { kind: 'etagMismatch' });
    assert.deepEqual(await one(store, { kind: 'replace', identity: missing, ifMatch: '*' }), { kind: 'notFound' });
    assert.deepEqual(await one(store, { kind: 'replace', identity: module, ifMatch: '*' }), { kind: 'notFound' });
    const orphan = exampleIdentity({ deviceId: 'd2', moduleId: 'm1' });
    assert.deepEqual(await one(store, { kind: 'replace', identity: orphan, ifMatch: '*' }), { kind: 'deviceNotFound' });
    assert.deepEqual(await one(store, { kind: 'delete', key: { deviceId: 'd1' }, ifMatch: 'x' }), {
      kind: 'etagMismatch',
    });
    assert.deepEqual(await one(store, { kind: 'delete', key: { deviceId: 'd2' }, ifMatch: '*' }), { kind: 'notFound' });
    const orphanKey = { deviceId: 'd2', moduleId: 'm1' };
    assert.deepEqual(await one(store, { kind: 'delete', key: orphanKey, ifMatch: '*' }), { kind: 'deviceNotFound' });
    const deleted = await one(store, { kind: 'delete', key: { deviceId: 'd1' }, ifMatch: device.etag });
    assert.deepEqual(deleted, { kind: 'done', identity: device });
    assert.equal(await store.get({ deviceId: 'd1' }), undefined);
  });

  using('a deleted device takes its modules along, and only its own', async (store) => {
    for (const key of [
      { deviceId: 'd1' },
      { deviceId: 'd1', moduleId: 'a' },
      { deviceId: 'd1', moduleId: 'b' },
      { deviceId: 'd10' },
      { deviceId: 'd10', moduleId: 'a' },
    ]) {
      await create(store, exampleIdentity(key));
    }
    await one(store, { kind: 'delete', key: { deviceId: 'd1' }, ifMatch: '*' });
    assert.deepEqual(await store.listModules('d1'), []);
    assert.equal((await store.listModules('d10')).length, 1);
    assert.deepEqual(await store.counts(), { devices: 1, enabled: 1, disabled: 0 });
    assert.equal((await create(store, exampleIdentity({ deviceId: 'd1' }))).kind, 'done');
    assert.deepEqual(await store.listModules('d1'), []);
    await one(store, { kind: 'delete', key: { deviceId: 'd10', moduleId: 'a' }, ifMatch: '*' });
    assert.notEqual(await store.get({ deviceId: 'd10' }), undefined);
  });

  using('devices are listed by page in order of id, modules in order of theirs', async (store) => {
    const ids = ['b', 'a', 'B', '_', 'a1', 'c', '$', 'a-1'];
    for (const deviceId of ids) await create(store, exampleIdentity({ deviceId }));
    for (const moduleId of ['z', 'A', 'm']) await create(store, exampleIdentity({ deviceId: 'a', moduleId }));
    const listed: string[] = [];
    for (let after: string | undefined; ; ) {
      const page = await store.listDevices(after === undefined ? { limit: 3 } : { after, limit: 3 });
      if (page.length === 0) break;
      assert.ok(page.length <= 3);
      listed.push(...page.map((device) => device.deviceId));
      after = listed[listed.length - 1];
    }
    assert.deepEqual(listed, [...ids].sort());
    assert.deepEqual(
      (await store.listModules('a')).map((module) => module.moduleId),
      ['A', 'm', 'z'],
    );
    assert.deepEqual(await store.listModules('nobody'), []);
    assert.deepEqual(await store.listDevices({ after: 'c', limit: 10 }), []);
  });

  using('children of a scope in order of id, page by page', async (store) => {
    const child = (deviceId: string, scope?: string) =>
      create(store, exampleIdentity({ deviceId }, scope === undefined ? {} : { parentScopes: [scope] }));
    for (const id of ['c', 'a', 'b']) await child(id, 's-1');
    await child('d', 's-2');
    await child('e');
    const ids = async (after?: string) =>
      (await store.listChildren('s-1', { limit: 2, ...(after !== undefined && { after }) })).map((one) => one.deviceId);
    assert.deepEqual([await ids(), await ids('b'), await ids('c')], [['a', 'b'], ['c'], []]);
    assert.deepEqual(await store.listChildren('s', { limit: 2 }), []);
  });

  using('writes of one call happen in order, each on its own', async (store) => {
    const device = exampleIdentity({ deviceId: 'd1' });
    const outcomes = await store.write([
      { kind: 'create', identity: exampleIdentity({ deviceId: 'd1', moduleId: 'early' }), countMax: 9 },
      { kind: 'create', identity: device, countMax: 9 },
      { kind: 'create', identity: device, countMax: 9 },
      { kind: 'create', identity: exampleIdentity({ deviceId: 'd1', moduleId: 'm' }), countMax: 9 },
      { kind: 'replace', identity: { ...device, etag: 'new' }, ifMatch: 'stale' },
      { kind: 'replace', identity: { ...device, etag: 'new' }, ifMatch: device.etag },
      { kind: 'delete', key: { deviceId: 'd9' }, ifMatch: '*' },
      { kind: 'create', identity: exampleIdentity({ deviceId: 'd2' }), countMax: 1 },
    ]);
    assert.deepEqual(
      outcomes.map((outcome) => outcome.kind),
      ['deviceNotFound', 'done', 'exists', 'done', 'etagMismatch', 'done', 'notFound', 'full'],
    );
    assert.equal((await store.get({ deviceId: 'd1' }))?.etag, 'new');
    assert.deepEqual(await store.write([]), []);
  });

  using('modules that come with a device are made in the same step; those that are there stay', async (store) => {
    const device = exampleIdentity({ deviceId: 'd1' });
    const module = (moduleId: string, etag: string) => exampleIdentity({ deviceId: 'd1', moduleId }, { etag });
    const heard: string[] = [];
    store.watchOwnWrites(({ kind, identity }) => heard.push(`${kind} ${identity.moduleId ?? 'device'}`));
    const etags = async () => (await store.listModules('d1')).map(({ moduleId, etag }) => `${moduleId} ${etag}`);
    await store.write([{ kind: 'create', identity: device, countMax: 9, modules: [module('a', '1')] }]);
    assert.deepEqual(await etags(), ['a 1']);
    await store.write([{ kind: 'create', identity: device, countMax: 9, modules: [module('c', '1')] }]);
    assert.deepEqual(await etags(), ['a 1']);
    const modules = [module('a', '2'), module('b', '2')];
    await store.write([{ kind: 'replace', identity: device, ifMatch: '*', modules }]);
    assert.deepEqual(await etags(), ['a 1', 'b 2']);
    assert.deepEqual(heard, ['created device', 'created a', 'replaced device', 'created b']);
  });

  using('watchers hear of every change, before the writer, until they stop', async (store) => {
    const heard: string[] = [];
    const note = ({ kind, identity }: IdentityChange): void => {
      heard.push(`${kind} ${identityName(identity)} ${identity.etag}`);
    };
    const stop = store.watchOwnWrites(note);
    const stopSecond = store.watchOwnWrites(note);
    stopSecond();
    const device = exampleIdentity({ deviceId: 'd1' });
    await create(store, device).then(() => heard.push('written'));
    await create(store, device);
    await create(store, exampleIdentity({ deviceId: 'd1', moduleId: 'm1' }));
    await one(store, { kind: 'replace', identity: { ...device, etag: 'e2' }, ifMatch: 'x' });
    await one(store, { kind: 'replace', identity: { ...device, etag: 'e2' }, ifMatch: '*' });
    await one(store, { kind: 'delete', key: { deviceId: 'd1' }, ifMatch: '*' });
    stop();
    await create(store, device);
    assert.deepEqual(heard, [
      'created d1 MQ==',
      'written',
      'created d1/m1 MQ==',
      'replaced d1 e2',
      'deleted d1/m1 MQ==',
      'deleted d1 e2',
    ]);
  });

  using('any sequence of conditional writes ends as a simple model of them does', async (store) => {
    const key = fc.constantFrom<IdentityKey>(
      { deviceId: 'a' },
      { deviceId: 'b' },
      { deviceId: 'a', moduleId: 'm' },
      { deviceId: 'b', moduleId: 'm' },
    );
    const etag = fc.constantFrom('1', '2', '3');
    const status = fc.constantFrom('enabled' as const, 'disabled' as const);
    const write: fc.Arbitrary<IdentityWrite> = fc.oneof(
      fc.record({ key, etag, status, countMax: fc.constantFrom(1, 2) }).map((wish) => ({
        kind: 'create' as const,
        identity: identityFor(wish),
        countMax: order === 'device' && wish.key.moduleId === undefined ? 2 : wish.countMax,
      })),
      fc.record({ key, etag, status, ifMatch: fc.oneof(etag, fc.constant('*')) }).map((wish) => ({
        kind: 'replace' as const,
        identity: identityFor(wish),
        ifMatch: wish.ifMatch,
      })),
      fc.record({ kind: fc.constant('delete' as const), key, ifMatch: fc.oneof(etag, fc.constant('*')) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(fc.array(write, { maxLength: 4 }), { maxLength: 12 }), async (calls) => {
        for (const deviceId of ['a', 'b']) await one(store, { kind: 'delete', key: { deviceId }, ifMatch: '*' });
        const model = new Map<string, Identity>();
        // Calls are not awaited one by one: they must take effect in the order in which they were made.
        const answers = await Promise.all(calls.map((writes) => store.write(writes)));
        for (const [at, writes] of calls.entries()) {
          assert.deepEqual(
            answers[at].map((outcome) => outcome.kind),
            writes.map((each) => applyToModel(model, each)),
          );
        }
        const devices = [...model.values()].filter((identity) => identity.moduleId === undefined);
        const inOrder = devices.sort((x, y) => (x.deviceId < y.deviceId ? -1 : 1));
        assert.deepEqual(await store.listDevices({ limit: 10 }), inOrder);
        for (const deviceId of ['a', 'b']) {
          const module = model.get(`${deviceId}/m`);
          assert.deepEqual(await store.listModules(deviceId), module === undefined ? [] : [module]);
        }
        const enabled = devices.filter((device) => device.status === 'enabled').length;
        assert.deepEqual(await store.counts(), {
          devices: devices.length,
          enabled,
          disabled: devices.length - enabled,
        });
      }),
      { numRuns: 60 },
    );
  });
}

function identityFor(wish: { key: IdentityKey; etag: string; status: Identity['status'] }): Identity {
  return exampleIdentity(wish.key, { etag: wish.etag, status: wish.status });
}

function applyToModel(model: Map<string, Identity>, write: IdentityWrite): IdentityWriteOutcome['kind'] {
  const key = write.kind === 'delete' ? write.key : write.identity;
  const name = identityName(key);
  const stored = model.get(name);
  if (key.moduleId !== undefined && !model.has(key.deviceId)) return 'deviceNotFound';
  if (write.kind === 'create') {
    if (stored !== undefined) return 'exists';
    const isSibling = (other: Identity): boolean =>
      key.moduleId === undefined
        ? other.moduleId === undefined
        : other.moduleId !== undefined && other.deviceId === key.deviceId;
    if ([...model.values()].filter(isSibling).length >= write.countMax) return 'full';
    model.set(name, write.identity);
    return 'done';
  }
  if (stored === undefined) return 'notFound';
  if (write.ifMatch !== '*' && write.ifMatch !== stored.etag) return 'etagMismatch';
  if (write.kind === 'replace') {
    model.set(name, { ...write.identity, generationId: stored.generationId });
    return 'done';
  }
  model.delete(name);
  if (key.moduleId === undefined) {
    for (const other of [...model.keys()]) if (other.startsWith(`${key.deviceId}/`)) model.delete(other);
  }
  return 'done';
}
