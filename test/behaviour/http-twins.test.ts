/** Twins and methods over REST, as the service SDKs ask for them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../src/base/clock.ts';
import { limits } from '../../src/base/limits.ts';
import { readReportedPatch } from '../../src/core/twins/rules.ts';
import { openHttpHub, refusalIn } from '../drivers/http.ts';
import { owner } from '../drivers/owner.ts';

const version = 'api-version=2021-04-12';
type Http = Awaited<ReturnType<typeof openHttpHub>>;

async function withDevice(options?: Parameters<typeof openHttpHub>[0]): Promise<Http> {
  const http = await openHttpHub(options);
  await http.client().devices.create('d1');
  await http.request('PUT', `/devices/d1/modules/m1?${version}`, { body: { deviceId: 'd1', moduleId: 'm1' } });
  return http;
}

interface Asked {
  readonly body?: unknown;
  readonly ifMatch?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

async function ask(http: Http, method: string, path: string, { body, ifMatch, headers }: Asked = {}) {
  const answer = await http.request(method, `${path}?${version}`, {
    ...(body !== undefined && { body }),
    headers: { ...headers, ...(ifMatch !== undefined && { 'if-match': ifMatch }) },
  });
  const json = answer.body === '' ? undefined : JSON.parse(answer.body);
  return { status: answer.status, headers: answer.headers, text: answer.body, json };
}

for (const path of ['/twins/d1', '/twins/d1/modules/m1']) {
  test(`${path}: a fresh twin is there with its identity and shows what the service shows`, async () => {
    await using http = await withDevice({ clock: new VirtualClock(Date.UTC(2026, 4, 6)) });
    const { status, headers, json } = await ask(http, 'GET', path);
    assert.equal(status, 200);
    assert.equal(headers['content-type'], 'application/json; charset=utf-8');
    const { deviceEtag, ...rest } = json;
    assert.match(deviceEtag, /^\S+$/);
    const section = { $metadata: { $lastUpdated: '0001-01-01T00:00:00Z' }, $version: 1 };
    assert.deepEqual(rest, {
      deviceId: 'd1',
      ...(path.endsWith('m1') && { moduleId: 'm1' }),
      etag: 'AAAAAAAAAAE=',
      status: 'enabled',
      statusUpdateTime: '0001-01-01T00:00:00Z',
      connectionState: 'Disconnected',
      connectionStateUpdatedTime: '0001-01-01T00:00:00Z',
      lastActivityTime: '0001-01-01T00:00:00Z',
      cloudToDeviceMessageCount: 0,
      authenticationType: 'sas',
      x509Thumbprint: { primaryThumbprint: null, secondaryThumbprint: null },
      modelId: '',
      version: 2,
      tags: {},
      properties: { desired: section, reported: section },
      capabilities: { iotEdge: false },
    });
  });

  test(`${path}: merges, deletes and clears, with ETags and metadata`, async () => {
    const clock = new VirtualClock(Date.UTC(2026, 4, 6));
    await using http = await withDevice({ clock });
    const first = await ask(http, 'PATCH', path, {
      ifMatch: '"*"',
      body: { tags: { a: { b: 1 } }, properties: { desired: { x: { y: 1, z: [1, { q: 2 }] } } } },
    });
    assert.equal(first.status, 200);
    assert.equal(first.json.etag, 'AAAAAAAAAAI=');
    assert.equal(first.headers.etag, '"AAAAAAAAAAI="');
    assert.equal(first.json.version, 3);
    const stamp = { $lastUpdated: '2026-05-06T00:00:00.0000000Z', $lastUpdatedVersion: 2 };
    assert.deepEqual(first.json.properties.desired, {
      x: { y: 1, z: [1, { q: 2 }] },
      $metadata: { ...stamp, x: { ...stamp, y: stamp, z: stamp } },
      $version: 2,
    });
    assert.deepEqual((await ask(http, 'GET', path)).json, first.json);

    const stale = await ask(http, 'PATCH', path, { ifMatch: '"AAAAAAAAAAE="', body: { tags: { a: 1 } } });
    assert.equal(stale.status, 412);
    assert.equal(stale.headers['iothub-errorcode'], 'PreconditionFailed');
    // As Java writes it: a POST that says it is a PATCH, and an ETag without quotes.
    const java = await ask(http, 'POST', path, {
      ifMatch: 'AAAAAAAAAAI=',
      headers: { 'x-http-method-override': 'PATCH' },
      body: { tags: { a: { b: null, c: 2 } }, properties: { desired: { x: { y: null } } } },
    });
    assert.equal(java.status, 200);
    assert.deepEqual([java.json.tags, java.json.properties.desired.x], [{ a: { c: 2 } }, { z: [1, { q: 2 }] }]);
    const cleared = await ask(http, 'PATCH', path, { body: { tags: null, properties: { desired: null } } });
    assert.deepEqual(cleared.json.tags, {});
    assert.deepEqual(Object.keys(cleared.json.properties.desired).sort(), ['$metadata', '$version']);
  });

  test(`${path}: PUT replaces what it names, and SDKs may send back all they have read`, async () => {
    await using http = await withDevice();
    const first = await ask(http, 'PATCH', path, { body: { tags: { a: 1 }, properties: { desired: { x: 1, y: 2 } } } });
    const sent = { ...first.json, tags: { b: { gone: null } }, properties: { ...first.json.properties } };
    sent.properties.desired = { y: 3, $version: 99, $metadata: {} };
    sent.properties.reported = { fake: true };
    const put = await ask(http, 'PUT', path, { ifMatch: `"${first.json.etag}"`, body: sent });
    assert.equal(put.status, 200);
    assert.deepEqual(put.json.tags, { b: {} });
    const { $metadata, $version, ...desired } = put.json.properties.desired;
    assert.deepEqual([desired, $version, Object.keys($metadata).length], [{ y: 3 }, 3, 3]);
    assert.equal(put.json.properties.reported.fake, undefined, 'what the device reports is its own');
  });
}

test('what may not be in a twin refuses all of a change, and says where', async () => {
  await using http = await withDevice();
  const refused = async (body: unknown, status: number, code: string, text: RegExp) => {
    const answer = await ask(http, 'PATCH', '/twins/d1', { body });
    assert.equal(answer.status, status);
    assert.equal(answer.headers['iothub-errorcode'], code);
    assert.match(refusalIn({ ...answer, body: answer.text }).text, text);
  };
  const desired = (values: unknown) => ({ tags: { ok: 1 }, properties: { desired: values } });
  await refused(desired({ a: [1, null] }), 400, 'ArgumentInvalid', /properties\.desired\.a.*null/);
  await refused(desired({ 'a.b': 1 }), 400, 'ArgumentInvalid', /names hold no/);
  await refused(
    desired({ big: 'x'.repeat(limits.twinStringBytesMax + 1) }),
    400,
    'ArgumentInvalid',
    /longer than 4096/,
  );
  await refused(desired(7), 400, 'ArgumentInvalid', /object or null/);
  await refused([1], 400, 'IotHubFormatError', /not a JSON object/);
  const parts = Object.fromEntries(Array.from({ length: 9 }, (_, at) => [`p${at}`, 'x'.repeat(4000)]));
  await refused(desired(parts), 400, 'ArgumentInvalid', /at most 32768 bytes/);
  const { json } = await ask(http, 'GET', '/twins/d1');
  assert.deepEqual([json.version, json.tags], [2, {}], 'nothing of it is there');
  const text = await http.request('PATCH', `/twins/d1?${version}`, {
    body: { tags: {} },
    headers: { 'content-type': 'text/plain' },
  });
  assert.equal(text.status, 415);
});

test('integers have the bounds of the service, and every twin that the hub shows may be sent back', async () => {
  await using http = await withDevice();
  const { hub } = http;
  const put = (text: string) =>
    ask(http, 'PATCH', '/twins/d1', { body: Buffer.from(`{"tags":{"n":${text}}}`), headers });
  const headers = { 'content-type': 'application/json' };
  for (const text of ['4503599627370496', '-4503599627370497', '1e17', '12345678901234567890.0']) {
    const { status, headers: had } = await put(text);
    assert.deepEqual([status, had['iothub-errorcode']], [400, 'ArgumentInvalid'], text);
  }
  for (const text of ['4503599627370495', '-4503599627370496', '0.1', '1e300', '-1.7976931348623157e308']) {
    assert.equal((await put(text)).json.tags.n, Number(text), text);
  }
  // A device may report such a number as what it is, and JSON writes it as an integer then.
  const patch = readReportedPatch(Buffer.from('{"r":1e17}'));
  await hub.twins.report(owner, { deviceId: 'd1' }, patch);
  const { json } = await ask(http, 'GET', '/twins/d1');
  assert.equal(json.properties.reported.r, 1e17);
  for (const method of ['PATCH', 'PUT'])
    assert.equal((await ask(http, method, '/twins/d1', { body: json })).status, 200);
});

test('unknown devices and modules have codes of their own; the twin goes with its identity', async () => {
  await using http = await withDevice();
  await ask(http, 'PATCH', '/twins/d1', { body: { tags: { old: true } } });
  const codeOf = async (method: string, path: string, body?: unknown) => {
    const { status, headers } = await ask(http, method, path, body === undefined ? {} : { body });
    return [status, headers['iothub-errorcode']];
  };
  assert.deepEqual(await codeOf('GET', '/twins/nobody'), [404, 'DeviceNotFound']);
  assert.deepEqual(await codeOf('PATCH', '/twins/nobody', { tags: {} }), [404, 'DeviceNotFound']);
  assert.deepEqual(await codeOf('GET', '/twins/d1/modules/none'), [404, 'ModuleNotFound']);
  assert.deepEqual(await codeOf('GET', '/twins/nobody/modules/none'), [404, 'DeviceNotFound']);
  assert.deepEqual(await codeOf('POST', '/twins/nobody/methods', { methodName: 'm' }), [404, 'DeviceNotFound']);
  assert.deepEqual(await codeOf('POST', '/twins/d1/modules/none/methods', { methodName: 'm' }), [
    404,
    'ModuleNotFound',
  ]);
  await http.client().devices.delete('d1');
  assert.deepEqual(await codeOf('GET', '/twins/d1'), [404, 'DeviceNotFound']);
  await http.client().devices.create('d1');
  const { json } = await ask(http, 'GET', '/twins/d1');
  assert.deepEqual([json.tags, json.etag], [{}, 'AAAAAAAAAAE=']);
});

test('a method of a device that is not there is refused at once, in the form that the SDKs read', async () => {
  await using http = await withDevice();
  const { status, headers, json } = await ask(http, 'POST', '/twins/d1/methods', {
    body: { methodName: 'reboot', payload: null, responseTimeoutInSeconds: 5, connectTimeoutInSeconds: 0 },
  });
  assert.equal(status, 404);
  assert.equal(headers['iothub-errorcode'], 'DeviceNotOnline');
  assert.equal(json.Message, 'ErrorCode:DeviceNotOnline;Timed out waiting for device to connect.');
  for (const body of [
    {},
    { methodName: 'a/b' },
    { methodName: 'm', responseTimeoutInSeconds: 4 },
    { methodName: 'm', connectTimeoutInSeconds: 301 },
  ]) {
    const refused = await ask(http, 'POST', '/twins/d1/methods', { body });
    assert.deepEqual([refused.status, refused.headers['iothub-errorcode']], [400, 'ArgumentInvalid']);
  }
});

test('a bulk request changes twins, each item by itself', async () => {
  await using http = await withDevice();
  await http.client().devices.create('d2');
  await http.client().devices.create('d3');
  const before = (await ask(http, 'GET', '/twins/d2')).json.etag;
  const desired = { interval: 5, $version: 1 };
  const { status, headers, json } = await ask(http, 'POST', '/devices', {
    body: [
      { id: 'd1', importMode: 'UpdateTwin', tags: { floor: 3 }, properties: { desired, reported: { no: 1 } } },
      { id: 'd1', moduleId: 'm1', importMode: 'updateTwin', properties: { desired: { on: true } } },
      { id: 'd2', importMode: 'updateTwinIfMatchETag', twinETag: `"${before}"`, tags: { a: 1, b: null } },
      { id: 'd3', importMode: 'updateTwinIfMatchETag', twinETag: 'AAAAAAAAAGQ=', tags: { a: 1 } },
      { id: 'd4', importMode: 'updateTwin', tags: { a: 1 } },
      { id: 'd3', moduleId: 'm1', importMode: 'updateTwin', tags: {} },
      { id: 'd5', importMode: 'updateTwin', tags: { 'a.b': 1 } },
      { id: 'd6', importMode: 'updateTwinIfMatchETag', tags: { a: 1 } },
    ],
  });
  assert.equal(status, 400);
  assert.equal(headers['iothub-errorcode'], 'BulkRegistryOperationFailure');
  assert.deepEqual(
    json.errors.map((error: Record<string, unknown>) => [error.deviceId, error.moduleId, error.errorCode]),
    [
      ['d3', undefined, 412001],
      ['d4', undefined, 404001],
      ['d3', 'm1', 404010],
      ['d5', undefined, 400004],
      ['d6', undefined, 400005],
    ],
  );
  const d1 = (await ask(http, 'GET', '/twins/d1')).json;
  assert.deepEqual([d1.tags, d1.properties.desired.interval], [{ floor: 3 }, 5]);
  assert.deepEqual(Object.keys(d1.properties.reported), ['$metadata', '$version']);
  assert.equal((await ask(http, 'GET', '/twins/d1/modules/m1')).json.properties.desired.on, true);
  assert.deepEqual((await ask(http, 'GET', '/twins/d2')).json.tags, { a: 1 });
  assert.deepEqual((await ask(http, 'GET', '/twins/d3')).json.tags, {});
  const all = await ask(http, 'POST', '/devices', { body: [{ id: 'd1', importMode: 'updateTwin', tags: {} }] });
  assert.deepEqual([all.status, all.json], [200, { isSuccessful: true, errors: [], warnings: [] }]);
});

test('a bulk request creates devices with their twins, and says which have none', async () => {
  await using http = await openHttpHub();
  const sections = { tags: { floor: 1 }, properties: { desired: { interval: 5, $version: 7 } } };
  const { status, json } = await ask(http, 'POST', '/devices', {
    body: [
      { id: 'd1', importMode: 'create', ...sections },
      { id: 'd2', importMode: 'create', tags: { 'a.b': 1 } },
      { id: 'd3', importMode: 'create', tags: {}, properties: { desired: {} } },
    ],
  });
  assert.deepEqual([status, json.isSuccessful, json.errors], [200, true, []]);
  assert.deepEqual(
    json.warnings.map((warning: Record<string, unknown>) => [warning.deviceId, warning.warningCode]),
    [['d2', 'DeviceRegisteredWithoutTwin']],
  );
  const { tags, properties, etag } = (await ask(http, 'GET', '/twins/d1')).json;
  assert.deepEqual([tags, properties.desired.interval, properties.desired.$version], [{ floor: 1 }, 5, 2]);
  assert.equal(etag, 'AAAAAAAAAAI=');
  assert.deepEqual((await ask(http, 'GET', '/twins/d2')).json.tags, {});
  assert.equal((await ask(http, 'GET', '/twins/d3')).json.version, 2);
});

test('who may write the registry but not twins changes none in bulk', async () => {
  await using http = await withDevice();
  const authorization = await http.token('registryReadWrite');
  const { status, json } = await ask(http, 'POST', '/devices', {
    body: [{ id: 'd1', importMode: 'updateTwin', tags: { a: 1 } }],
    headers: { authorization },
  });
  assert.equal(status, 400);
  assert.deepEqual(
    json.errors.map(({ errorCode }: { errorCode: number }) => errorCode),
    [401002],
  );
  assert.deepEqual((await ask(http, 'GET', '/twins/d1')).json.tags, {});
});
