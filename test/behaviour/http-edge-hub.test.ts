/**
 * How a real Edge Hub finds who is below it: its requests as its sources (Azure/iotedge, `NestedDeviceScopeApiClient`,
 * `NestedServiceIdentitiesIterator`, `SasTokenHelper`, August 2026) write them, byte for byte on a TLS connection, and its walk
 * through the edge devices below it.
 */
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { test } from 'node:test';
import type { Device, DeviceDraft, InScopeJson, Module } from '../../src/api/identities.ts';
import { type HttpAnswer, type HttpHub, openHttpHub, refusalIn } from '../drivers/http.ts';

const edge = { capabilities: { iotEdge: true } };
/** An Edge Hub asks for more; with this little it has to go on by the link. */
const PAGE_SIZE = 2;

/** As .NET's `WebUtility.UrlEncode`. */
const urlEncode = (text: string): string => encodeURIComponent(text).replaceAll('%20', '+');

/** The Edge Hub of one edge device: what it knows of the tree it has been told by the hub. */
class EdgeHub {
  readonly #http: HttpHub;
  readonly #deviceId: string;
  readonly #key: string;
  readonly devices = new Map<string, Device>();
  readonly modules = new Map<string, Module>();

  static async of(http: HttpHub, deviceId: string): Promise<EdgeHub> {
    const { authentication } = await http.client().modules.get(deviceId, '$edgeHub');
    return new EdgeHub(http, deviceId, authentication.symmetricKey.primaryKey as string);
  }

  private constructor(http: HttpHub, deviceId: string, key: string) {
    this.#http = http;
    this.#deviceId = deviceId;
    this.#key = key;
  }

  /** A page for the edge device with which the chain begins. */
  listScope(authChain: string, continuationLink?: string): Promise<HttpAnswer> {
    const link = continuationLink === undefined ? '' : `"continuationLink":${JSON.stringify(continuationLink)},`;
    return this.#post(
      'devicesAndModulesInTargetDeviceScope',
      `{"pageSize":${PAGE_SIZE},${link}"authChain":${JSON.stringify(authChain)}}`,
    );
  }

  getOnBehalfOf(authChain: string, targetDeviceId: string, targetModuleId?: string): Promise<HttpAnswer> {
    const module = targetModuleId === undefined ? '' : `"targetModuleId":${JSON.stringify(targetModuleId)},`;
    return this.#post(
      'getDeviceAndModuleOnBehalfOf',
      `{"targetDeviceId":${JSON.stringify(targetDeviceId)},${module}"authChain":${JSON.stringify(authChain)}}`,
    );
  }

  /** Every edge device that is found is asked about in its turn. Resolves with the number of requests. */
  async refresh(): Promise<number> {
    let requests = 0;
    const asked: { readonly target: string; readonly link?: string }[] = [{ target: this.#deviceId }];
    for (let next = asked.shift(); next !== undefined; next = asked.shift()) {
      const answer = await this.listScope(this.chainTo(next.target), next.link);
      requests++;
      assert.equal(answer.status, 200, answer.body);
      const { devices, modules, continuationLink }: InScopeJson = JSON.parse(answer.body);
      for (const device of devices) {
        this.devices.set(device.deviceId, device);
        if (device.capabilities.iotEdge && device.deviceId !== next.target) asked.push({ target: device.deviceId });
      }
      for (const module of modules) this.modules.set(`${module.deviceId}/${module.moduleId}`, module);
      if (continuationLink !== null) asked.push({ target: next.target, link: continuationLink });
    }
    return requests;
  }

  /** From a device up to this one, by the parent scopes that the hub has told. */
  chainTo(deviceId: string): string {
    if (deviceId === this.#deviceId) return deviceId;
    const [scope] = this.devices.get(deviceId)?.parentScopes ?? [];
    const parent = [...this.devices.values()].find(
      (device) => device.capabilities.iotEdge && device.deviceScope === scope,
    );
    assert.ok(parent !== undefined, `${deviceId} has a parent that was told`);
    return `${deviceId};${this.chainTo(parent.deviceId)}`;
  }

  #post(operation: string, body: string): Promise<HttpAnswer> {
    const audience = urlEncode(`localhost/devices/${urlEncode(this.#deviceId)}/modules/${urlEncode('$edgeHub')}`);
    const expiry = String(Math.floor(this.#http.hub.clock.now() / 1000) + 3600);
    const signature = createHmac('sha256', Buffer.from(this.#key, 'base64')).update(`${audience}\n${expiry}`);
    const token = `SharedAccessSignature sr=${audience}&sig=${urlEncode(signature.digest('base64'))}&se=${expiry}`;
    return this.#http.exchange(
      `POST /devices/${this.#deviceId}/modules/$edgeHub/${operation}?api-version=2020-06-30-preview HTTP/1.1\r\n` +
        `Host: localhost\r\nAuthorization: ${token}\r\nConnection: close\r\n` +
        `Content-Type: application/json; charset=utf-8\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    );
  }
}

/** `outer` above `inner` above `innermost`, a leaf below each, a module in `inner`; and an edge device beside them. */
async function openNested() {
  const http = await openHttpHub();
  const { devices, modules } = http.client();
  const make = (deviceId: string, draft: DeviceDraft = {}): Promise<Device> => devices.create(deviceId, draft);
  const outer = (await make('outer', edge)).deviceScope as string;
  const inner = (await make('inner', { ...edge, parentScopes: [outer] })).deviceScope as string;
  const innermost = (await make('innermost', { ...edge, parentScopes: [inner] })).deviceScope as string;
  for (const [id, deviceScope] of Object.entries({ 'leaf-1': outer, 'leaf-2': inner, 'leaf-3': innermost })) {
    await make(id, { deviceScope });
  }
  await make('beside', edge);
  await make('stranger');
  await modules.create('inner', 'filter', {});
  return http;
}

test('an Edge Hub finds every device and module below it, with their keys, by one request for each edge device and page', async () => {
  await using http = await openNested();
  const hub = await EdgeHub.of(http, 'outer');
  // Two pages for `outer` and for `inner`, which have two children each; one for `innermost`.
  assert.equal(await hub.refresh(), 5);
  assert.deepEqual([...hub.devices.keys()].sort(), ['inner', 'innermost', 'leaf-1', 'leaf-2', 'leaf-3', 'outer']);
  const runtimes = ['inner', 'innermost', 'outer'].flatMap((id) => [`${id}/$edgeAgent`, `${id}/$edgeHub`]);
  assert.deepEqual([...hub.modules.keys()].sort(), ['inner/filter', ...runtimes].sort());
  assert.equal(hub.chainTo('leaf-3'), 'leaf-3;innermost;inner;outer');
  const leaf = await http.client().devices.get('leaf-3');
  assert.deepEqual(hub.devices.get('leaf-3')?.authentication, leaf.authentication);
  // What its own types demand of an answer.
  for (const { generationId, status, authentication } of hub.devices.values()) {
    assert.match(generationId, /^\d+$/);
    assert.deepEqual([status, authentication.type], ['enabled', 'sas']);
  }
});

test('an Edge Hub reads one device or module again, on behalf of the edge device that it is below', async () => {
  await using http = await openNested();
  const hub = await EdgeHub.of(http, 'outer');
  const found = async (...args: Parameters<EdgeHub['getOnBehalfOf']>) => {
    const answer = await hub.getOnBehalfOf(...args);
    assert.equal(answer.status, 200, answer.body);
    const { devices, modules, continuationLink }: InScopeJson = JSON.parse(answer.body);
    assert.equal(continuationLink, null);
    return [devices.map(({ deviceId }) => deviceId), modules.map(({ moduleId }) => moduleId)];
  };
  assert.deepEqual(await found('innermost;inner;outer', 'leaf-3'), [['leaf-3'], []]);
  // Which one it is below it may not know yet.
  assert.deepEqual(await found('outer', 'leaf-3'), [['leaf-3'], []]);
  assert.deepEqual(await found('inner;outer', 'inner', 'filter'), [['inner'], ['filter']]);
  for (const [chain, device, module] of [
    ['innermost;inner;outer', 'leaf-2'],
    ['outer', 'stranger'],
    ['outer', 'nobody'],
    ['inner;outer', 'inner', 'nobody'],
  ]) {
    assert.equal((await hub.getOnBehalfOf(chain, device, module)).status, 404, `${device} by ${chain}`);
  }
});

test('an Edge Hub is told nothing of what is above or beside it, whatever chain it names', async () => {
  await using http = await openNested();
  const hub = await EdgeHub.of(http, 'inner');
  for (const chain of ['outer;inner', 'outer', 'beside;inner', 'beside', 'leaf-2;inner', 'nobody;inner']) {
    for (const answer of [await hub.listScope(chain), await hub.getOnBehalfOf(chain, 'leaf-1')]) {
      assert.deepEqual([answer.status, refusalIn(answer).code], [401, 'IotHubUnauthorizedAccess'], chain);
    }
  }
  assert.equal((await hub.getOnBehalfOf('inner', 'leaf-1')).status, 404);
  for (const chain of [';inner', 'inner/filter;inner', 'x'.repeat(1281)]) {
    const answer = await hub.listScope(chain);
    assert.deepEqual([answer.status, refusalIn(answer).code], [400, 'ArgumentInvalid'], chain);
  }
  // Moved elsewhere, a device is out of reach by the chain that was right.
  const { devices } = http.client();
  await devices.update('innermost', { ...(await devices.get('innermost')), parentScopes: [] });
  assert.equal((await hub.listScope('innermost;inner')).status, 401);
});

test('the modules of the runtime stay as long as their device is an edge device', async () => {
  await using http = await openNested();
  const version = 'api-version=2021-04-12';
  const remove = (path: string) =>
    http.request('DELETE', `/devices/${path}?${version}`, { headers: { 'if-match': '*' } });
  for (const module of ['$edgeAgent', '$edgeHub']) {
    const refused = await remove(`outer/modules/${module}`);
    assert.deepEqual([refused.status, refusalIn(refused).code], [401, 'SystemModuleModifyUnauthorizedAccess']);
  }
  const bulk = await http.request('POST', `/devices?${version}`, {
    body: [
      { id: 'outer', moduleId: '$edgeHub', importMode: 'delete' },
      { id: 'inner', moduleId: 'filter', importMode: 'delete' },
    ],
  });
  const { errors } = JSON.parse(bulk.body) as { readonly errors: readonly { readonly errorCode: number }[] };
  assert.deepEqual(
    errors.map(({ errorCode }) => errorCode),
    [401100],
  );
  assert.equal((await http.client().modules.list('outer')).length, 2);
  assert.deepEqual(
    (await http.client().modules.list('inner')).map(({ moduleId }) => moduleId),
    ['$edgeAgent', '$edgeHub'],
  );
  const { devices } = http.client();
  await devices.update('beside', { ...(await devices.get('beside')), capabilities: { iotEdge: false } });
  assert.equal((await remove('beside/modules/$edgeHub')).status, 204);
  assert.equal((await remove('outer')).status, 204);
});
