/** azure-iothub's Registry: what it does, and the errors that it shows. */
import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';
import type { TestHub } from '../test/drivers/hub.ts';
import { openRegistry, type Registry, startStockHub, whyNot } from './support/hub.ts';
import { shows } from './support/shows.ts';

interface Body {
  readonly deviceId: string;
  readonly etag: string;
  readonly authentication: { readonly symmetricKey: { readonly primaryKey: string } };
}

function test(operation: string, work: () => Promise<void>): void {
  shows(
    { sdk: 'azure-iothub (npm)', transport: 'REST', operation: `registry: ${operation}` },
    undefined,
    work,
    operation,
  );
}

describe('azure-iothub manages identities', { skip: await whyNot() }, () => {
  let hub: TestHub;
  let registry: Registry;

  before(async () => {
    hub = await startStockHub();
    registry = await openRegistry(hub);
  });

  after(async () => {
    await registry?.stop();
    await hub?.[Symbol.asyncDispose]();
  });

  const refusal = (name: string) => (error: Error) => {
    assert.equal(error.name, name, error.message);
    return true;
  };

  test('creates a device and makes its keys; get answers the same', async () => {
    const created = await registry.call('create', { deviceId: 'r-1' });
    assert.equal(created.deviceId, 'r-1');
    assert.equal(created.status, 'enabled');
    assert.equal(created.connectionState, 'Disconnected');
    const { primaryKey, secondaryKey } = created.authentication.symmetricKey;
    assert.equal(Buffer.from(primaryKey, 'base64').length, 32);
    assert.notEqual(primaryKey, secondaryKey);
    assert.deepEqual(await registry.call('get', 'r-1'), created);
  });

  test('keeps keys, status and reason that are given', async () => {
    const key = Buffer.alloc(32, 7).toString('base64');
    const wanted = {
      deviceId: 'r-given',
      status: 'disabled',
      statusReason: 'not yet sold',
      authentication: { type: 'sas', symmetricKey: { primaryKey: key, secondaryKey: key } },
    };
    await registry.call('create', wanted);
    const { status, statusReason, authentication } = await registry.call('get', 'r-given');
    assert.deepEqual({ status, statusReason }, { status: 'disabled', statusReason: 'not yet sold' });
    assert.deepEqual(authentication.symmetricKey, wanted.authentication.symmetricKey);
  });

  test('takes every character that an id may have', async () => {
    const deviceId = "r-:.+%_#*?!(),=@;$'";
    await registry.call('create', { deviceId });
    assert.equal((await registry.call('get', deviceId)).deviceId, deviceId);
    await registry.call('delete', deviceId);
    await assert.rejects(registry.call('get', deviceId), refusal('DeviceNotFoundError'));
  });

  test('refuses a second device of the same id, an unknown one and a wrong id', async () => {
    await assert.rejects(registry.call('create', { deviceId: 'r-1' }), refusal('DeviceAlreadyExistsError'));
    await assert.rejects(registry.call('get', 'r-none'), refusal('DeviceNotFoundError'));
    await assert.rejects(registry.call('delete', 'r-none'), refusal('DeviceNotFoundError'));
    await assert.rejects(registry.call('create', { deviceId: 'r 1' }), refusal('ArgumentError'));
    await assert.rejects(registry.call('create', { deviceId: 'x'.repeat(129) }), refusal('ArgumentError'));
  });

  test('updates; an outdated ETag is refused and changes nothing', async () => {
    const created = await registry.call('create', { deviceId: 'r-etag' });
    const first = await registry.call('update', { ...created, statusReason: 'first' });
    assert.notEqual(first.etag, created.etag);
    assert.equal(first.generationId, created.generationId);
    // The SDK's update of one device is unconditional; its bulk update has the conditional form.
    const tagged = (device: Body, statusReason: string) => ({ ...device, eTag: device.etag, statusReason });
    await assert.rejects(registry.call('updateDevices', [tagged(created, 'stale')], false), refusal('ArgumentError'));
    assert.equal((await registry.call('get', 'r-etag')).statusReason, 'first');
    await registry.call('updateDevices', [tagged(first, 'second')], false);
    assert.equal((await registry.call('get', 'r-etag')).statusReason, 'second');
    await registry.call('updateDevices', [{ ...created, statusReason: 'forced' }], true);
    assert.equal((await registry.call('get', 'r-etag')).statusReason, 'forced');
  });

  test('a conditional bulk update takes an identity as get answered it, with its etag', async () => {
    const created = await registry.call('create', { deviceId: 'r-as-got' });
    await registry.call('updateDevices', [{ ...created, statusReason: 'first' }], false);
    assert.equal((await registry.call('get', 'r-as-got')).statusReason, 'first');
    // The SDK folds every failure of a bulk request into one error; what was stored tells.
    await assert.rejects(
      registry.call('updateDevices', [{ ...created, statusReason: 'stale' }], false),
      refusal('ArgumentError'),
    );
    assert.equal((await registry.call('get', 'r-as-got')).statusReason, 'first');
  });

  test('lists devices, with their keys', async () => {
    const devices = await registry.call('list');
    const ids = devices.map(({ deviceId }: Body) => deviceId);
    assert.ok(ids.includes('r-1') && ids.includes('r-etag'), ids.join());
    assert.deepEqual(ids, ids.toSorted());
    assert.ok(devices.every(({ authentication }: Body) => authentication.symmetricKey.primaryKey !== ''));
  });

  test('deletes; the id can be used again and is a new generation', async () => {
    const first = await registry.call('create', { deviceId: 'r-again' });
    await registry.call('delete', 'r-again');
    await assert.rejects(registry.call('get', 'r-again'), refusal('DeviceNotFoundError'));
    const second = await registry.call('create', { deviceId: 'r-again' });
    assert.notEqual(second.generationId, first.generationId);
  });

  test('bulk: adds, updates and removes; one bad item does not undo the others', async () => {
    const ids = Array.from({ length: 100 }, (_, at) => `r-bulk-${at}`);
    const added = await registry.call(
      'addDevices',
      ids.map((deviceId) => ({ deviceId })),
    );
    assert.deepEqual([added.isSuccessful, added.errors], [true, []]);
    const devices = await Promise.all(ids.slice(0, 10).map((id) => registry.call('get', id)));
    await registry.call(
      'updateDevices',
      devices.map((device) => ({ ...device, statusReason: 'bulk' })),
      true,
    );
    assert.equal((await registry.call('get', 'r-bulk-3')).statusReason, 'bulk');
    await assert.rejects(
      registry.call('addDevices', [{ deviceId: 'r-bulk-0' }, { deviceId: 'r-bulk-new' }]),
      refusal('ArgumentError'),
    );
    assert.equal((await registry.call('get', 'r-bulk-new')).deviceId, 'r-bulk-new');
    await registry.call(
      'removeDevices',
      ids.map((deviceId) => ({ deviceId })),
      true,
    );
    await assert.rejects(registry.call('get', 'r-bulk-50'), refusal('DeviceNotFoundError'));
  });

  test('bulk refuses none, more than a hundred, and one id twice', async () => {
    const many = Array.from({ length: 101 }, (_, at) => ({ deviceId: `r-many-${at}` }));
    await assert.rejects(registry.call('addDevices', many), refusal('ArgumentError'));
    await assert.rejects(
      registry.call('addDevices', [{ deviceId: 'r-x' }, { deviceId: 'r-x' }]),
      refusal('ArgumentError'),
    );
    await assert.rejects(registry.call('get', 'r-x'), refusal('DeviceNotFoundError'));
  });

  test('statistics count devices', async () => {
    const before = await registry.call('getRegistryStatistics');
    await registry.call('create', { deviceId: 'r-counted', status: 'disabled' });
    const now = await registry.call('getRegistryStatistics');
    assert.equal(now.totalDeviceCount, before.totalDeviceCount + 1);
    assert.equal(now.disabledDeviceCount, before.disabledDeviceCount + 1);
    assert.equal(now.enabledDeviceCount, before.enabledDeviceCount);
  });

  test('modules: create, get, list, update, delete; they end with their device', async () => {
    await registry.call('create', { deviceId: 'r-mod' });
    const made = await registry.call('addModule', { deviceId: 'r-mod', moduleId: 'm1' });
    assert.deepEqual([made.deviceId, made.moduleId], ['r-mod', 'm1']);
    await registry.call('addModule', { deviceId: 'r-mod', moduleId: 'm2' });
    await assert.rejects(registry.call('addModule', { deviceId: 'r-mod', moduleId: 'm1' }), Error);
    const modules = await registry.call('getModulesOnDevice', 'r-mod');
    assert.deepEqual(modules.map(({ moduleId }: { moduleId: string }) => moduleId).sort(), ['m1', 'm2']);
    await registry.call('updateModule', { ...made, managedBy: 'tests' });
    assert.equal((await registry.call('getModule', 'r-mod', 'm1')).managedBy, 'tests');
    await registry.call('removeModule', 'r-mod', 'm2');
    await assert.rejects(registry.call('getModule', 'r-mod', 'm2'), Error);
    await registry.call('delete', 'r-mod');
    await assert.rejects(registry.call('getModule', 'r-mod', 'm1'), Error);
  });

  test('a policy does what it may and no more; a wrong key does nothing', async () => {
    const reader = await openRegistry(hub, hub.endpoints.connectionStrings.registryRead);
    assert.equal((await reader.call('get', 'r-1')).deviceId, 'r-1');
    await assert.rejects(reader.call('create', { deviceId: 'r-forbidden' }), refusal('UnauthorizedError'));
    await reader.stop();
    for (const policy of ['service', 'device'] as const) {
      const other = await openRegistry(hub, hub.endpoints.connectionStrings[policy]);
      await assert.rejects(other.call('get', 'r-1'), refusal('UnauthorizedError'), policy);
      await other.stop();
    }
    const wrong = `HostName=localhost;SharedAccessKeyName=iothubowner;SharedAccessKey=${Buffer.alloc(32).toString('base64')}`;
    const stranger = await openRegistry(hub, wrong);
    await assert.rejects(stranger.call('get', 'r-1'), refusal('UnauthorizedError'));
    await assert.rejects(stranger.call('get', 'r-none'), refusal('UnauthorizedError'), 'no word of what exists');
    await stranger.stop();
  });
});
