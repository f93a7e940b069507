/** IoT Edge devices, and how their children name them (twins reference 6). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Device, DeviceDraft, InScopeJson } from '../../src/api/identities.ts';
import { signSas } from '../../src/api/sas.ts';
import { type HttpHub, openHttpHub, refusalIn } from '../drivers/http.ts';

const version = 'api-version=2021-04-12';
const edge = { capabilities: { iotEdge: true } };

async function put(http: HttpHub, deviceId: string, draft: DeviceDraft, ifMatch?: string): Promise<Device> {
  const answer = await http.request('PUT', `/devices/${deviceId}?${version}`, {
    body: draft,
    headers: ifMatch === undefined ? {} : { 'if-match': ifMatch },
  });
  assert.equal(answer.status, 200, answer.body);
  return JSON.parse(answer.body);
}

async function refused(http: HttpHub, deviceId: string, draft: DeviceDraft, ifMatch?: string): Promise<void> {
  const headers: Record<string, string> = ifMatch === undefined ? {} : { 'if-match': ifMatch };
  const answer = await http.request('PUT', `/devices/${deviceId}?${version}`, { body: draft, headers });
  assert.deepEqual([answer.status, refusalIn(answer).code], [400, 'InvalidDeviceScope'], JSON.stringify(draft));
}

test('an edge device has a scope of its own, which nobody changes, and the modules of its runtime', async () => {
  await using http = await openHttpHub();
  const made = await put(http, 'e-1', edge);
  assert.equal(made.deviceScope, `ms-azure-iot-edge://e-1-${made.generationId}`);
  assert.deepEqual(made.parentScopes, []);
  const modules = async () =>
    (await http.client().modules.list('e-1')).map(({ moduleId, managedBy, authentication }) => {
      assert.equal(Buffer.from(authentication.symmetricKey.primaryKey ?? '', 'base64').length, 32);
      return `${moduleId} ${managedBy}`;
    });
  assert.deepEqual(await modules(), ['$edgeAgent IotEdge', '$edgeHub IotEdge']);
  const again = await put(http, 'e-1', { ...made, status: 'disabled' }, '*');
  assert.deepEqual([again.deviceScope, again.status], [made.deviceScope, 'disabled']);
  const keys = await http.client().modules.get('e-1', '$edgeHub');
  assert.equal((await put(http, 'e-1', edge, '*')).deviceScope, made.deviceScope);
  assert.deepEqual((await http.client().modules.get('e-1', '$edgeHub')).authentication, keys.authentication);
  await refused(http, 'e-1', { ...edge, deviceScope: 'ms-azure-iot-edge://other-1' }, '*');
  const twin = JSON.parse((await http.request('GET', `/twins/e-1?${version}`)).body);
  assert.deepEqual([twin.deviceScope, twin.capabilities], [made.deviceScope, { iotEdge: true }]);
  // Created again, it is another device, and its children are not.
  await http.client().devices.delete('e-1');
  assert.notEqual((await put(http, 'e-1', { ...edge, deviceScope: made.deviceScope })).deviceScope, made.deviceScope);
  await refused(http, 'leaf', { deviceScope: made.deviceScope });
  // A device that becomes one later.
  await put(http, 'late', {});
  const late = await put(http, 'late', edge, '*');
  assert.equal(late.deviceScope, `ms-azure-iot-edge://late-${late.generationId}`);
  assert.equal((await http.client().modules.list('late')).length, 2);
});

test('a child names its parent in one of two fields, and the hub keeps both alike', async () => {
  await using http = await openHttpHub();
  const [one, two] = [(await put(http, 'e1', edge)).deviceScope!, (await put(http, 'e2', edge)).deviceScope!];
  const parents = ({ deviceScope, parentScopes }: Device) => [deviceScope, ...parentScopes];
  assert.deepEqual(parents(await put(http, 'a', { deviceScope: one })), [one, one]);
  assert.deepEqual(parents(await put(http, 'b', { parentScopes: [one] })), [one, one]);
  // All that was read is sent back, with one change.
  const read = await put(http, 'c', { deviceScope: one });
  assert.deepEqual(parents(await put(http, 'c', { ...read, deviceScope: two }, '*')), [two, two]);
  const moved = await http.client().devices.get('c');
  assert.deepEqual(parents(await put(http, 'c', { ...moved, parentScopes: [one] }, '*')), [one, one]);
  const back = await http.client().devices.get('c');
  assert.deepEqual(parents(await put(http, 'c', { ...back, parentScopes: [] }, '*')), [undefined]);
  assert.deepEqual(parents(await put(http, 'a', { deviceScope: '' }, '*')), [undefined]);
  await refused(http, 'd', { deviceScope: one, parentScopes: [two] });
  for (const scope of ['nothing', 'ms-azure-iot-edge://nobody-1', 'ms-azure-iot-edge://b-1']) {
    await refused(http, 'd', { deviceScope: scope });
    await refused(http, 'd', { parentScopes: [scope] });
  }
  // An orphan can still be changed.
  await http.client().devices.delete('e1');
  const orphan = await http.client().devices.get('b');
  assert.deepEqual(parents(await put(http, 'b', { ...orphan, status: 'disabled' }, '*')), [one, one]);
});

test('edge devices nest, never in a ring and never too deep', async () => {
  await using http = await openHttpHub();
  let above = await put(http, 'e0', edge);
  const top = above;
  for (let level = 1; level <= 5; level++) {
    const device = await put(http, `e${level}`, { ...edge, parentScopes: [above.deviceScope!] });
    assert.deepEqual(device.parentScopes, [above.deviceScope]);
    above = device;
  }
  await refused(http, 'e6', { ...edge, parentScopes: [above.deviceScope!] });
  await refused(http, 'e0', { ...top, parentScopes: [top.deviceScope!] }, '*');
  const second = await http.client().devices.get('e1');
  await refused(http, 'e0', { ...top, parentScopes: [second.deviceScope!] }, '*');
  const bulk = await http.request('POST', `/devices?${version}`, {
    body: [
      { id: 'good', deviceScope: top.deviceScope },
      { id: 'bad', deviceScope: 'ms-azure-iot-edge://nobody-1' },
      { id: 'e9', ...edge, parentScopes: [top.deviceScope] },
    ],
  });
  assert.deepEqual(
    JSON.parse(bulk.body).errors.map(({ deviceId, errorCode }: { deviceId: string; errorCode: number }) => [
      deviceId,
      errorCode,
    ]),
    [['bad', 400028]],
  );
  assert.equal((await http.client().modules.list('e9')).length, 2);
});

test('$edgeHub alone is told of its device, the children and their modules, page by page', async () => {
  await using http = await openHttpHub();
  const edgeDevice = await put(http, 'e%231', edge);
  const scope = edgeDevice.deviceScope!;
  const inside = ['c1', 'c2', 'c3'];
  for (const id of inside) await put(http, id, { deviceScope: scope });
  await put(http, 'c4', { ...edge, parentScopes: [scope] });
  await put(http, 'stranger', {});
  await http.client().modules.create('c1', 'm', {});
  const { authentication } = await http.client().modules.get('e#1', '$edgeHub');
  const path = '/devices/e%231/modules/$edgeHub/';
  const token = (resource: string, key: string) => signSas({ resource, key, expiresAt: http.hub.clock.now() + 60_000 });
  const own = await token('localhost/devices/e%231/modules/$edgeHub', authentication.symmetricKey.primaryKey!);
  const ask = (target: string, authorization = own) => http.request('GET', target, { headers: { authorization } });
  const devices: Device[] = [];
  const modules: string[] = [];
  let pages = 0;
  let link: string | null = `${path}devicesAndModulesInDeviceScope?deviceCount=2&continuationToken=&${version}`;
  while (link !== null) {
    const answer: InScopeJson = JSON.parse((await ask(link)).body);
    devices.push(...answer.devices);
    modules.push(...answer.modules.map((module) => `${module.deviceId}/${module.moduleId}`));
    link = answer.continuationLink;
    pages++;
  }
  assert.equal(pages, 3);
  assert.deepEqual(
    devices.map(({ deviceId }) => deviceId),
    ['e#1', ...inside, 'c4'],
  );
  const child = await http.client().devices.get('c1');
  assert.deepEqual(devices[1].authentication, child.authentication);
  const runtime = (id: string) => [`${id}/$edgeAgent`, `${id}/$edgeHub`];
  assert.deepEqual(modules, [...runtime('e#1'), 'c1/m', ...runtime('c4')]);
  const one = `${path}deviceAndModuleInDeviceScope?targetDeviceId=c1&targetModuleId=`;
  const found: InScopeJson = JSON.parse((await ask(`${one}m&${version}`)).body);
  assert.deepEqual([found.devices[0].deviceId, found.modules[0].moduleId], ['c1', 'm']);
  assert.equal(JSON.parse((await ask(`${one}&${version}`)).body).modules.length, 0);
  assert.equal((await ask(`${one.replace('c1', 'stranger')}&${version}`)).status, 404);
  // Who else knows the way: another module of the device, the device, policies, the runtime of another device.
  const agent = (await http.client().modules.get('e#1', '$edgeAgent')).authentication.symmetricKey.primaryKey!;
  const nested = (await http.client().modules.get('c4', '$edgeHub')).authentication.symmetricKey.primaryKey!;
  for (const [where, authorization] of [
    ['e%231/modules/$edgeAgent', await token('localhost/devices/e%231/modules/$edgeAgent', agent)],
    [
      'e%231/modules/$edgeHub',
      await token('localhost/devices/e%231', edgeDevice.authentication.symmetricKey.primaryKey!),
    ],
    ['e%231/modules/$edgeHub', await token('localhost/devices/c4/modules/$edgeHub', nested)],
    ['e%231/modules/$edgeHub', await http.token('device')],
    ['e%231/modules/$edgeHub', await http.token()],
  ]) {
    const refusal = await ask(`/devices/${where}/devicesAndModulesInDeviceScope?${version}`, authorization);
    assert.equal(refusal.status, 401, where);
  }
});
