import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../base/clock.ts';
import { seededRandom } from '../../base/random.ts';
import { createMemoryIdentityStore } from '../../stores/memory/identities.ts';
import { createMemoryPlaces } from '../../stores/memory/places.ts';
import { type ErrorCode, errorTable, HubError } from '../errors.ts';
import { createPresence } from '../presence/presence.ts';
import { createGuard, silentAudit } from './guard.ts';
import type { IdentityStore } from './ports.ts';
import { createRegistry } from './registry.ts';
import type { BulkItem, IdentityDraft, IdentityView, ImportMode, Registry } from './registry-room.ts';
import type { Permission, PolicyPrincipal, Principal } from './types.ts';

function policy(permissions: readonly Permission[], scope: readonly string[] = []): PolicyPrincipal {
  return {
    kind: 'policy',
    policyName: 'test',
    permissions: new Set(permissions),
    expiresAt: Number.POSITIVE_INFINITY,
    scope,
  };
}

const writer = policy(['RegistryRead', 'RegistryWrite']);

function house(parts: { devicesMax?: number; store?: IdentityStore } = {}): {
  registry: Registry;
  clock: VirtualClock;
} {
  const clock = new VirtualClock();
  const registry = createRegistry({
    guard: createGuard(clock, silentAudit),
    store: parts.store ?? createMemoryIdentityStore(),
    clock,
    random: seededRandom(7),
    presence: createPresence({ places: createMemoryPlaces(), clock }),
    commandDepths: async (keys) => keys.map((key) => key.deviceId.length),
    limits: { devicesMax: parts.devicesMax, modulesPerDeviceMax: 2 },
  });
  return { registry, clock };
}

const refusedAs = (code: ErrorCode, attempt: Promise<unknown>): Promise<void> =>
  assert.rejects(attempt, (error: unknown) => {
    assert.ok(error instanceof HubError);
    assert.equal(error.code, code);
    return true;
  });

test('a new device gets keys, an ETag and a generation, and is shown with what other rooms know', async () => {
  const { registry } = house();
  const made = await registry.put(writer, {
    deviceId: 'd1',
    authentication: { type: 'sas', symmetricKey: { primaryKey: '', secondaryKey: '' } },
  });
  const keys = made.authentication.symmetricKey!;
  assert.equal(Buffer.from(keys.primaryKey, 'base64').length, 32);
  assert.notEqual(keys.primaryKey, keys.secondaryKey);
  assert.match(made.generationId, /^\d{18}$/);
  assert.match(Buffer.from(made.etag, 'base64').toString(), /^\d+$/);
  assert.equal(made.status, 'enabled');
  assert.equal(made.statusUpdatedTime, 0);
  assert.equal(made.connected, false);
  assert.equal(made.cloudToDeviceMessageCount, 2);
  assert.deepEqual(await registry.get(writer, { deviceId: 'd1' }), made);
  await refusedAs('DeviceAlreadyExists', registry.put(writer, { deviceId: 'd1' }));
});

test('an update asks for the ETag, changes it, and keeps generation and keys where none are named', async () => {
  const { registry, clock } = house();
  const made = await registry.put(writer, { deviceId: 'd1' });
  clock.advance(1000);
  const draft: IdentityDraft = { deviceId: 'd1', status: 'disabled', statusReason: 'lost' };
  await refusedAs('PreconditionFailed', registry.put(writer, draft, 'stale'));
  const updated = await registry.put(writer, draft, made.etag);
  assert.equal(updated.status, 'disabled');
  assert.equal(updated.statusReason, 'lost');
  assert.equal(updated.statusUpdatedTime, clock.now());
  assert.equal(updated.generationId, made.generationId);
  assert.notEqual(updated.etag, made.etag);
  assert.deepEqual(updated.authentication, made.authentication);
  await refusedAs('PreconditionFailed', registry.put(writer, draft, made.etag));
  const key = Buffer.alloc(16, 3).toString('base64');
  const rekeyed = await registry.put(
    writer,
    { ...draft, authentication: { symmetricKey: { primaryKey: key, secondaryKey: '' } } },
    '*',
  );
  assert.equal(rekeyed.authentication.symmetricKey?.primaryKey, key);
  assert.notEqual(rekeyed.authentication.symmetricKey?.secondaryKey, made.authentication.symmetricKey?.secondaryKey);
  await refusedAs('DeviceNotFound', registry.put(writer, { deviceId: 'd2' }, '*'));
});

/** A registry in which `once` happens between the next time that an identity is read and what follows from it. */
function houseWithOthers(): { registry: Registry; meanwhile(once: () => Promise<unknown>): void } {
  const inner = createMemoryIdentityStore();
  let next: (() => Promise<unknown>) | undefined;
  const store: IdentityStore = {
    ...inner,
    async get(key) {
      const found = await inner.get(key);
      const once = next;
      next = undefined;
      await once?.();
      return found;
    },
  };
  const meanwhile = (once: () => Promise<unknown>): void => {
    next = once;
  };
  return { ...house({ store }), meanwhile };
}

test('an unconditional update that keeps the keys never brings back older ones', async () => {
  const { registry, meanwhile } = houseWithOthers();
  const made = await registry.put(writer, { deviceId: 'd1' });
  const key = Buffer.alloc(32, 9).toString('base64');
  const keys = { primaryKey: key, secondaryKey: key };
  meanwhile(() => registry.put(writer, { deviceId: 'd1', authentication: { symmetricKey: keys } }, made.etag));
  const updated = await registry.put(writer, { deviceId: 'd1', status: 'disabled' }, '*');
  assert.equal(updated.status, 'disabled');
  assert.deepEqual(updated.authentication.symmetricKey, keys);
});

test('an update that keeps the keys keeps those of a device that is created while it is on its way', async () => {
  const { registry, meanwhile } = houseWithOthers();
  const draft: IdentityDraft = { deviceId: 'd1', status: 'disabled' };
  let made: IdentityView | undefined;
  meanwhile(async () => (made = await registry.put(writer, { deviceId: 'd1' })));
  const updated = await registry.put(writer, draft, '*');
  assert.equal(updated.status, 'disabled');
  assert.equal(updated.generationId, made?.generationId);
  assert.deepEqual(updated.authentication, made?.authentication);
  await registry.delete(writer, { deviceId: 'd1' });
  meanwhile(async () => (made = await registry.put(writer, { deviceId: 'd1' })));
  const bulk = await registry.bulk(writer, [{ draft, importMode: 'update' }]);
  assert.equal(bulk.isSuccessful, true);
  const left = await registry.get(writer, { deviceId: 'd1' });
  assert.equal(left.status, 'disabled');
  assert.deepEqual(left.authentication, made?.authentication);
});

test('a device that is created again has a new generation and new keys', async () => {
  const { registry } = house();
  const first = await registry.put(writer, { deviceId: 'd1' });
  await refusedAs('PreconditionFailed', registry.delete(writer, { deviceId: 'd1' }, 'stale'));
  await registry.delete(writer, { deviceId: 'd1' }, first.etag);
  await refusedAs('DeviceNotFound', registry.delete(writer, { deviceId: 'd1' }));
  const second = await registry.put(writer, { deviceId: 'd1' });
  assert.notEqual(second.generationId, first.generationId);
  assert.notEqual(second.etag, first.etag);
  assert.notDeepEqual(second.authentication, first.authentication);
});

test('modules live on their device', async () => {
  const { registry } = house();
  await refusedAs('DeviceNotFound', registry.put(writer, { deviceId: 'd1', moduleId: 'm1' }));
  await registry.put(writer, { deviceId: 'd1' });
  const module = await registry.put(writer, {
    deviceId: 'd1',
    moduleId: 'm1',
    managedBy: 'iotEdge',
    status: 'disabled',
  });
  assert.equal(module.status, 'enabled');
  assert.equal(module.managedBy, 'iotEdge');
  await refusedAs('ModuleAlreadyExistsOnDevice', registry.put(writer, { deviceId: 'd1', moduleId: 'm1' }));
  await registry.put(writer, { deviceId: 'd1', moduleId: 'm2' });
  await refusedAs('TooManyModulesOnDevice', registry.put(writer, { deviceId: 'd1', moduleId: 'm3' }));
  assert.equal((await registry.listModules(writer, 'd1')).length, 2);
  await refusedAs('ModuleNotFound', registry.get(writer, { deviceId: 'd1', moduleId: 'm9' }));
  await refusedAs('DeviceNotFound', registry.get(writer, { deviceId: 'd9', moduleId: 'm1' }));
  await refusedAs('DeviceNotFound', registry.listModules(writer, 'd9'));
  await registry.delete(writer, { deviceId: 'd1' });
  await refusedAs('DeviceNotFound', registry.get(writer, { deviceId: 'd1', moduleId: 'm1' }));
});

test('what an identity may not be is refused, and no key appears in the refusal', async () => {
  const { registry } = house();
  const almostKey = `${Buffer.alloc(32, 4).toString('base64')}=`;
  const sas = (primaryKey: string): IdentityDraft => ({
    deviceId: 'd',
    authentication: { symmetricKey: { primaryKey } },
  });
  const drafts = [
    { deviceId: '' },
    { deviceId: 'a b' },
    { deviceId: 'ä' },
    { deviceId: 'a/b' },
    { deviceId: 'd'.repeat(129) },
    { deviceId: 'd', moduleId: '' },
    { deviceId: 5 },
    { deviceId: 'd', status: 'broken' },
    { deviceId: 'd', statusReason: 'r'.repeat(129) },
    { deviceId: 'd', statusReason: 5 },
    { deviceId: 'd', parentScopes: ['a', 'b'] },
    { deviceId: 'd', deviceScope: 's'.repeat(257) },
    { deviceId: 'd', authentication: { type: 'other' } },
    { deviceId: 'd', authentication: { type: 'selfSigned' } },
    { deviceId: 'd', authentication: { x509Thumbprint: { primaryThumbprint: 'AB'.repeat(19) } } },
    { deviceId: 'd', authentication: { x509Thumbprint: { primaryThumbprint: 'XY'.repeat(20) } } },
    sas(almostKey),
    sas(Buffer.alloc(15).toString('base64')),
    sas(Buffer.alloc(65).toString('base64')),
    sas('not base64!!'),
  ] as IdentityDraft[];
  for (const draft of drafts) {
    await assert.rejects(registry.put(writer, draft), (error: HubError) => {
      assert.equal(error.code, 'ArgumentInvalid', JSON.stringify(draft));
      assert.ok(!error.message.includes(almostKey));
      return true;
    });
  }
  await registry.put(writer, sas(Buffer.alloc(16).toString('base64')));
  await registry.put(writer, { ...sas(Buffer.alloc(64).toString('base64')), deviceId: 'd'.repeat(128) });
});

test('certificates are kept by thumbprint, without the separators that tools print', async () => {
  const { registry } = house();
  const hex = 'aB'.repeat(20);
  const made = await registry.put(writer, {
    deviceId: 'd1',
    authentication: {
      symmetricKey: { primaryKey: '', secondaryKey: '' },
      x509Thumbprint: { primaryThumbprint: hex.match(/../g)!.join(':'), secondaryThumbprint: '' },
    },
  });
  assert.deepEqual(made.authentication, {
    type: 'selfSigned',
    symmetricKey: null,
    x509Thumbprint: { primaryThumbprint: hex, secondaryThumbprint: null },
  });
  const ca = await registry.put(writer, { deviceId: 'd2', authentication: { type: 'certificateAuthority' } });
  assert.equal(ca.authentication.symmetricKey, null);
});

test('the list is bounded, in order, and full registries refuse', async () => {
  const { registry } = house({ devicesMax: 3 });
  for (const deviceId of ['c', 'a', 'b']) await registry.put(writer, { deviceId });
  const error = await registry.put(writer, { deviceId: 'd' }).catch((refusal: HubError) => refusal);
  assert.ok(error instanceof HubError && error.code === 'TooManyDevices');
  assert.deepEqual(error.limit, { name: 'devicesMax', scope: 'hub', current: 3, max: 3 });
  const ids = async (top?: number): Promise<string[]> =>
    (await registry.list(writer, top)).map((device) => device.deviceId);
  assert.deepEqual(await ids(2), ['a', 'b']);
  for (const top of [undefined, 0, -1, 1001, 1.5, Number.NaN]) assert.deepEqual(await ids(top), ['a', 'b', 'c']);
  await registry.put(writer, { deviceId: 'a', status: 'disabled' }, '*');
  assert.deepEqual(await registry.statistics(writer), {
    totalDeviceCount: 3,
    enabledDeviceCount: 2,
    disabledDeviceCount: 1,
    connectedDeviceCount: 0,
  });
});

test('a bulk request carries out each item by its mode and lists those that fail', async () => {
  const { registry } = house();
  const kept = await registry.put(writer, { deviceId: 'kept' });
  await registry.put(writer, { deviceId: 'gone' });
  await registry.put(writer, { deviceId: 'gone2' });
  const item = (importMode: ImportMode, deviceId: string, more: Partial<BulkItem> = {}): BulkItem => ({
    draft: { deviceId, status: 'disabled' },
    importMode,
    ...more,
  });
  const result = await registry.bulk(writer, [
    item('create', 'new'),
    item('create', 'kept', { draft: { deviceId: 'kept', moduleId: 'm' } }),
    item('update', 'kept'),
    item('updateIfMatchETag', 'gone', { etag: 'stale' }),
    item('createOrUpdate', 'fresh'),
    item('createOrUpdateIfMatchETag', 'gone2', { etag: 'stale' }),
    item('createOrUpdateIfMatchETag', 'fresh2'),
    item('delete', 'nobody'),
    item('deleteIfMatchETag', 'd-without-etag'),
    item('updateTwin', 'twin'),
    item('updateTwinIfMatchETag', 'twin2', { etag: 'x' }),
    item('create', 'bad id'),
    item('nonsense' as ImportMode, 'x'),
  ]);
  assert.equal(result.isSuccessful, false);
  const number = (code: ErrorCode): number => errorTable[code].number;
  assert.deepEqual(
    result.errors.map((error) => [error.deviceId, error.errorCode]),
    [
      ['gone', number('PreconditionFailed')],
      ['gone2', number('PreconditionFailed')],
      ['nobody', number('DeviceNotFound')],
      ['d-without-etag', number('ArgumentNull')],
      ['twin', number('ArgumentNull')],
      ['twin2', number('ArgumentNull')],
      ['bad id', number('ArgumentInvalid')],
      ['x', number('ArgumentInvalid')],
    ],
  );
  assert.ok(result.errors.every((error) => error.errorStatus.length > 0));
  const now = await registry.get(writer, { deviceId: 'kept' });
  assert.equal(now.status, 'disabled');
  assert.deepEqual(now.authentication, kept.authentication);
  const good = await registry.bulk(writer, [
    item('updateIfMatchETag', 'kept', { etag: now.etag, draft: { deviceId: 'kept', status: 'enabled' } }),
    item('createOrUpdate', 'new'),
    item('delete', 'gone'),
    item('deleteIfMatchETag', 'gone2', { etag: (await registry.get(writer, { deviceId: 'gone2' })).etag }),
  ]);
  assert.deepEqual(good, { isSuccessful: true, errors: [], withoutTwin: [] });
  const ids = (await registry.list(writer)).map((device) => `${device.deviceId} ${device.status}`);
  assert.deepEqual(ids, ['fresh disabled', 'fresh2 disabled', 'kept enabled', 'new disabled']);
});

test('a bulk request that is empty, too long or names an identity twice is refused as a whole', async () => {
  const { registry } = house();
  const create = (deviceId: string): BulkItem => ({ draft: { deviceId }, importMode: 'create' });
  await refusedAs('ArgumentInvalid', registry.bulk(writer, []));
  const many = Array.from({ length: 101 }, (_, nth) => create(`d${nth}`));
  await refusedAs('ArgumentInvalid', registry.bulk(writer, many));
  await refusedAs('DeviceDefinedMultipleTimes', registry.bulk(writer, [create('a'), create('b'), create('a')]));
  assert.deepEqual(await registry.list(writer), []);
  assert.equal((await registry.bulk(writer, many.slice(1))).isSuccessful, true);
  assert.equal((await registry.statistics(writer)).totalDeviceCount, 100);
});

test('each operation asks for its permission, and a scoped token keeps to its device', async () => {
  const { registry, clock } = house();
  await registry.put(writer, { deviceId: 'd1' });
  const device: Principal = {
    kind: 'device',
    key: { deviceId: 'd1' },
    generationId: '1',
    expiresAt: Number.POSITIVE_INFINITY,
    authScope: 'device',
    authType: 'sas',
  };
  const reads = (who: Principal): Promise<unknown>[] => [
    registry.get(who, { deviceId: 'd1' }),
    registry.list(who),
    registry.listModules(who, 'd1'),
    registry.statistics(who),
  ];
  const writes = (who: Principal): Promise<unknown>[] => [
    registry.put(who, { deviceId: 'd1' }, '*'),
    registry.put(who, { deviceId: 'd9' }),
    registry.delete(who, { deviceId: 'd9' }),
    registry.bulk(who, []),
    registry.bulk(who, [{ draft: { deviceId: 'd9' }, importMode: 'create' }]),
  ];
  for (const who of [device, policy(['DeviceConnect', 'ServiceConnect'])]) {
    for (const attempt of [...reads(who), ...writes(who)]) await refusedAs('IotHubUnauthorizedAccess', attempt);
  }
  for (const attempt of writes(policy(['RegistryRead']))) await refusedAs('IotHubUnauthorizedAccess', attempt);
  for (const attempt of reads(policy(['RegistryWrite']))) await refusedAs('IotHubUnauthorizedAccess', attempt);
  await Promise.all(reads(policy(['RegistryRead'])));
  const scoped = policy(['RegistryRead', 'RegistryWrite'], ['devices', 'd1']);
  await registry.get(scoped, { deviceId: 'd1' });
  await registry.put(scoped, { deviceId: 'd1', moduleId: 'm' });
  await refusedAs('IotHubUnauthorizedAccess', registry.get(scoped, { deviceId: 'd10' }));
  await refusedAs('IotHubUnauthorizedAccess', registry.list(scoped));
  const expired = { ...writer, expiresAt: clock.now() };
  await refusedAs('IotHubUnauthorized', registry.list(expired));
});
