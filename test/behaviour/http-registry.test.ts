import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ApiError } from '../../src/api/calls.ts';
import { VirtualClock } from '../../src/base/clock.ts';
import { openHttpHub, refusalIn } from '../drivers/http.ts';

const version = 'api-version=2021-04-12';

test('a device is created with keys, read, listed, replaced and deleted by the typed client', async () => {
  await using http = await openHttpHub();
  const api = http.client();
  const created = await api.devices.create('d1');
  assert.equal(Buffer.from(created.authentication.symmetricKey.primaryKey ?? '', 'base64').length, 32);
  assert.notEqual(created.authentication.symmetricKey.primaryKey, created.authentication.symmetricKey.secondaryKey);
  assert.deepEqual(await api.devices.get('d1'), created);
  assert.deepEqual(await api.devices.list(), [created]);

  const { authentication } = created;
  const draft = { status: 'disabled' as const, statusReason: 'stolen', authentication };
  const replaced = await api.devices.update('d1', draft, { ifMatch: created.etag });
  assert.equal(replaced.status, 'disabled');
  assert.equal(replaced.statusReason, 'stolen');
  assert.equal(replaced.generationId, created.generationId);
  assert.deepEqual(replaced.authentication, created.authentication);
  await assert.rejects(
    api.devices.update('d1', draft, { ifMatch: created.etag }),
    (error) => error instanceof ApiError && error.status === 412 && error.code === 'PreconditionFailed',
  );
  await api.devices.delete('d1', { ifMatch: replaced.etag });
  await assert.rejects(api.devices.get('d1'), { name: 'ApiError', status: 404, code: 'DeviceNotFound' });
});

test('a new device shows the default times, states and nulls of the service', async () => {
  await using http = await openHttpHub({ clock: new VirtualClock(Date.UTC(2026, 4, 6)) });
  const answer = await http.request('PUT', `/devices/d1?${version}`, { body: { deviceId: 'd1' } });
  assert.equal(answer.status, 200);
  assert.equal(answer.headers['content-type'], 'application/json; charset=utf-8');
  const { generationId, etag, authentication, ...rest } = JSON.parse(answer.body);
  assert.equal(answer.headers.etag, `"${etag}"`);
  assert.match(answer.headers['x-ms-request-id'], /^[0-9a-f-]{36}$/);
  assert.match(generationId, /^\S{1,128}$/);
  assert.deepEqual(Object.keys(authentication), ['symmetricKey', 'x509Thumbprint', 'type']);
  assert.deepEqual(authentication.x509Thumbprint, { primaryThumbprint: null, secondaryThumbprint: null });
  assert.deepEqual(rest, {
    deviceId: 'd1',
    connectionState: 'Disconnected',
    connectionStateUpdatedTime: '0001-01-01T00:00:00',
    lastActivityTime: '0001-01-01T00:00:00',
    cloudToDeviceMessageCount: 0,
    status: 'enabled',
    statusReason: null,
    statusUpdatedTime: '0001-01-01T00:00:00',
    capabilities: { iotEdge: false },
    parentScopes: [],
  });
});

test('a PUT without If-Match only creates, one with it only replaces', async () => {
  await using http = await openHttpHub();
  const put = (ifMatch?: string) =>
    http.request('PUT', `/devices/d1?${version}`, {
      body: { deviceId: 'd1' },
      headers: ifMatch === undefined ? {} : { 'if-match': ifMatch },
    });
  const missing = await put('"*"');
  assert.deepEqual([missing.status, refusalIn(missing).code], [404, 'DeviceNotFound']);
  assert.equal((await put()).status, 200);
  const again = await put();
  assert.deepEqual([again.status, refusalIn(again).code], [409, 'DeviceAlreadyExists']);
  assert.equal(again.headers['iothub-errorcode'], 'DeviceAlreadyExists');
  for (const spelling of [(tag: string) => `"${tag}"`, (tag: string) => tag, (tag: string) => `W/"${tag}"`]) {
    const { etag } = JSON.parse((await http.request('GET', `/devices/d1?${version}`)).body);
    assert.equal((await put(spelling(etag))).status, 200, `If-Match: ${spelling('tag')}`);
  }
  for (const any of ['*', '"*"']) assert.equal((await put(any)).status, 200, `If-Match: ${any}`);
  const stale = await put('"stale"');
  assert.deepEqual([stale.status, refusalIn(stale).code], [412, 'PreconditionFailed']);
});

test('ids with every allowed character survive path, body and list', async () => {
  await using http = await openHttpHub();
  const api = http.client();
  const ids = ["a-b:c.d+e%f_g#h*i?j!k(l)m,n=o@p;q$r's", '100%25', 'query', 'x'.repeat(128)];
  for (const id of ids) assert.equal((await api.devices.create(id)).deviceId, id);
  for (const id of ids) assert.equal((await api.devices.get(id)).deviceId, id);
  assert.deepEqual((await api.devices.list()).map((device) => device.deviceId).sort(), [...ids].sort());
  await assert.rejects(api.devices.create('x'.repeat(129)), { status: 400, code: 'ArgumentInvalid' });
});

test('paths compare without case, with doubled and trailing slashes; ids keep their case', async () => {
  await using http = await openHttpHub();
  await http.client().devices.create('Pump');
  for (const path of ['/devices/Pump', '/Devices/Pump/', '//DEVICES//Pump', '/devices/%50ump']) {
    assert.equal((await http.request('GET', `${path}?${version}`)).status, 200, path);
  }
  assert.equal((await http.request('GET', `/devices/pump?${version}`)).status, 404);
  for (const path of ['/devices', '/devices/', '/devices//']) {
    const listed = await http.request('GET', `${path}?top=10&${version}`);
    assert.deepEqual(
      JSON.parse(listed.body).map((device: { deviceId: string }) => device.deviceId),
      ['Pump'],
      path,
    );
  }
});

test('the list is as long as top says, and at most 1000', async () => {
  await using http = await openHttpHub();
  const api = http.client();
  for (let first = 0; first < 1010; first += 100) {
    const items = Array.from({ length: Math.min(100, 1010 - first) }, (_, at) => ({
      id: `d${String(first + at).padStart(4, '0')}`,
      importMode: 'create',
    }));
    assert.equal((await api.devices.bulk(items)).isSuccessful, true);
  }
  for (const [top, count] of [
    ['3', 3],
    ['1000', 1000],
    ['0', 1000],
    ['-1', 1000],
    ['5000', 1000],
    ['many', 1000],
  ] as const) {
    const listed = await http.request('GET', `/devices?top=${top}&${version}`);
    assert.equal(JSON.parse(listed.body).length, count, `top=${top}`);
  }
  assert.equal((await api.statistics.devices()).totalDeviceCount, 1010);
});

test('a bulk request takes import modes in any case and answers 400 with the result when items fail', async () => {
  await using http = await openHttpHub();
  const api = http.client();
  const first = await http.request('POST', `/devices?${version}`, {
    body: [
      { id: 'd1', importMode: 'create', status: 'disabled', authentication: { type: 'sas', symmetricKey: null } },
      { id: 'd2', importMode: 'Create' },
    ],
  });
  assert.equal(first.status, 200);
  assert.deepEqual(JSON.parse(first.body), { isSuccessful: true, errors: [], warnings: [] });
  assert.equal((await api.devices.get('d1')).status, 'disabled');

  const { etag } = await api.devices.get('d2');
  const second = await http.request('POST', `/devices?${version}`, {
    body: [
      { id: 'd1', importMode: 'create' },
      { id: 'd2', importMode: 'UpdateIfMatchETag', eTag: `"${etag}"`, status: 'disabled' },
      { id: 'd3', importMode: 'Delete' },
    ],
  });
  assert.equal(second.status, 400);
  assert.equal(second.headers['iothub-errorcode'], 'BulkRegistryOperationFailure');
  const { isSuccessful, errors } = JSON.parse(second.body);
  assert.equal(isSuccessful, false);
  assert.deepEqual(
    errors.map((error: { deviceId: string; errorCode: number }) => [error.deviceId, error.errorCode]),
    [
      ['d1', 409001],
      ['d3', 404001],
    ],
  );
  assert.equal((await api.devices.get('d2')).status, 'disabled');
  assert.equal((await api.devices.bulk([{ id: 'd1', importMode: 'create' }])).isSuccessful, false);
  for (const count of [0, 101]) {
    const items = Array.from({ length: count }, (_, at) => ({ id: `n${at}`, importMode: 'create' }));
    await assert.rejects(api.devices.bulk(items), { status: 400, code: 'ArgumentInvalid' }, `${count} items`);
  }
  await assert.rejects(
    api.devices.bulk([
      { id: 'n', importMode: 'create' },
      { id: 'n', importMode: 'create' },
    ]),
    { status: 400, code: 'DeviceDefinedMultipleTimes' },
  );
  await assert.rejects(api.devices.bulk([{ id: 'n', importMode: 'rename' }]), { code: 'ArgumentInvalid' });
});

test('modules live under their device and go with it', async () => {
  await using http = await openHttpHub();
  const api = http.client();
  await assert.rejects(api.modules.create('d1', 'm1'), { status: 404, code: 'DeviceNotFound' });
  await api.devices.create('d1');
  const created = await api.modules.create('d1', 'm1', { managedBy: 'iotEdge' });
  assert.equal(created.managedBy, 'iotEdge');
  assert.equal('status' in created, false);
  assert.deepEqual(await api.modules.list('d1'), [created]);
  const { authentication } = created;
  const replaced = await api.modules.update('d1', 'm1', { authentication }, { ifMatch: created.etag });
  assert.equal(replaced.managedBy, null);
  await assert.rejects(api.modules.create('d1', 'm1'), { status: 409, code: 'ModuleAlreadyExistsOnDevice' });
  await assert.rejects(api.modules.get('d1', 'm2'), { status: 404, code: 'ModuleNotFound' });
  await api.modules.delete('d1', 'm1');
  assert.deepEqual(await api.modules.list('d1'), []);
});

test('nulls in a body mean "not given", unknown and read-only fields are ignored', async () => {
  await using http = await openHttpHub();
  const body = {
    deviceId: 'd1',
    etag: 'mine',
    generationId: 'mine',
    status: null,
    statusReason: null,
    authentication: { type: null, symmetricKey: { primaryKey: null, secondaryKey: '' }, x509Thumbprint: null },
    capabilities: null,
    connectionState: 'Connected',
    forceUpdate: true,
  };
  const answer = await http.request('PUT', `/devices/d1?${version}`, { body });
  assert.equal(answer.status, 200);
  const device = JSON.parse(answer.body);
  assert.notEqual(device.etag, 'mine');
  assert.notEqual(device.generationId, 'mine');
  assert.equal(device.connectionState, 'Disconnected');
  assert.equal(device.authentication.symmetricKey.secondaryKey.length, 44);
});

test('a status is taken as the Java SDK writes it, and answered as all read it', async () => {
  await using http = await openHttpHub();
  const body = { etag: '', deviceId: 'd1', generationId: '', status: 'Disabled', authentication: { type: 'sas' } };
  const answer = await http.request('PUT', `/devices/d1?${version}`, { body });
  assert.equal(JSON.parse(answer.body).status, 'disabled');
  const wrong = await http.request('PUT', `/devices/d2?${version}`, { body: { deviceId: 'd2', status: 'DISABLED?' } });
  assert.equal(wrong.status, 400);
});

test('consumer groups are made, listed and removed; unknown ones are named', async () => {
  await using http = await openHttpHub();
  const { consumerGroups } = http.client();
  const created = await consumerGroups.create('testhub', 'billing');
  assert.equal(created.name, 'billing');
  const names = (await consumerGroups.list('testhub')).map((group) => group.name);
  assert.deepEqual(names, ['$Default', 'billing']);
  await assert.rejects(consumerGroups.create('testhub', 'Billing'), {
    status: 409,
    code: 'ConsumerGroupAlreadyExists',
  });
  await assert.rejects(consumerGroups.create('testhub', 'a/b'), { status: 400, code: 'ArgumentInvalid' });
  await consumerGroups.delete('testhub', 'billing');
  await assert.rejects(consumerGroups.delete('testhub', 'billing'), { status: 404, code: 'ConsumerGroupNotFound' });
  await assert.rejects(consumerGroups.delete('testhub', '$Default'), { status: 403, code: 'OperationNotAvailable' });
  await assert.rejects(consumerGroups.list('other'), { status: 404, code: 'AmqpAddressNotFound' });
  assert.equal((await consumerGroups.list('testhub-monitoring')).length, 1);
});

test('hub facts name the hub, its hosts, its event hubs and what their partitions hold', async () => {
  await using http = await openHttpHub();
  await http.client().devices.create('d1');
  const sender = http.hub.events.openSender(
    await http.hub.authentication.device({ deviceId: 'd1' }, { kind: 'token', token: await http.token('device') }),
    { deviceId: 'd1' },
  );
  await http.hub.events.send(sender, [{ system: {}, properties: [], body: Buffer.from('21.5') }]);
  const facts = await http.client('registryRead').hub();
  assert.equal(facts.name, 'testhub');
  assert.equal(facts.hostNames[0], 'localhost');
  assert.deepEqual(
    facts.eventHubs.map((eventHub) => [eventHub.name, eventHub.partitions.length]),
    [
      ['testhub', 4],
      ['testhub-monitoring', 1],
    ],
  );
  for (const [at, partition] of facts.eventHubs[0].partitions.entries()) {
    assert.equal(partition.id, String(at));
    const isSent = at === sender.partition;
    assert.equal(partition.lastSequenceNumber - partition.firstSequenceNumber, isSent ? 0 : -1);
    assert.equal(partition.lastEnqueuedTime === '0001-01-01T00:00:00', !isSent);
  }
});
