/** Configurations as a fleet meets them, through the doors of a running hub (query reference 4). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ApiClient } from '../../src/api/client.ts';
import type { ConfigurationDraftJson } from '../../src/api/configurations.ts';
import { signSas } from '../../src/api/sas.ts';
import { apiOf } from '../drivers/api.ts';
import { startHub, type TestHub } from '../drivers/hub.ts';
import { MqttDriver } from '../drivers/mqtt.ts';
import { until } from '../drivers/until.ts';

function clientOf(hub: TestHub): Disposable & { readonly api: ApiClient } {
  const api = apiOf(hub);
  return { api, [Symbol.dispose]: () => api.close() };
}

/** A device that hears of its desired properties. */
async function listen(hub: TestHub, api: ApiClient, id: string): Promise<MqttDriver> {
  const { hostName, ports } = hub.endpoints;
  const { authentication } = await api.devices.get(id);
  const key = authentication.symmetricKey?.primaryKey ?? '';
  const { client } = await MqttDriver.connect(
    { port: ports.mqtt as number },
    {
      clientId: id,
      username: `${hostName}/${id}/?api-version=2021-04-12`,
      password: Buffer.from(
        await signSas({ resource: `${hostName}/devices/${id}`, key, expiresAt: Date.now() + 3_600_000 }),
      ),
    },
  );
  const topics = ['$iothub/twin/PATCH/properties/desired/#', '$iothub/twin/res/#'];
  client.send({ cmd: 'subscribe', messageId: 1, subscriptions: topics.map((topic) => ({ topic, qos: 0 })) });
  await client.next('suback');
  return client;
}

const heard = async (client: MqttDriver): Promise<unknown> =>
  JSON.parse((await client.next('publish')).payload.toString());

function content(values: Readonly<Record<string, unknown>>): ConfigurationDraftJson['content'] {
  return { deviceContent: Object.fromEntries(Object.entries(values).map(([k, v]) => [`properties.desired.${k}`, v])) };
}

/** The desired properties of a device, without what the hub adds. */
async function desired(api: ApiClient, deviceId: string, moduleId?: string): Promise<unknown> {
  const target = moduleId === undefined ? { deviceId } : { deviceId, moduleId };
  const { $metadata, $version, ...values } = (await api.twins.get(target)).properties.desired;
  return values;
}

const everywhere = (api: ApiClient, ...ids: readonly string[]): Promise<void> =>
  until('the fleet has been looked at', async () =>
    (await Promise.all(ids.map((id) => api.configurations.get(id)))).every(({ evaluated }) => evaluated),
  );

test('a device that is tagged into a configuration hears of its settings once, and loses them when it leaves', async () => {
  await using hub = await startHub();
  using closing = clientOf(hub);
  const { api } = closing;
  await api.devices.create('d1');
  await api.devices.create('d2');
  await api.twins.update({ deviceId: 'd1' }, { properties: { desired: { own: true } } });
  const client = await listen(hub, api, 'd1');
  const low = {
    content: content({ mode: 'low', 'limits.speed': 1 }),
    targetCondition: "tags.site = 'north'",
    priority: 1,
  };
  const high = { content: content({ mode: 'high' }), targetCondition: 'tags.fast = true', priority: 2 };
  await api.configurations.create('low', low);
  await api.configurations.create('high', high);
  await everywhere(api, 'low', 'high');

  await api.twins.update({ deviceId: 'd1' }, { tags: { site: 'north' } });
  assert.deepEqual(await heard(client), { mode: 'low', limits: { speed: 1 }, $version: 3 });
  assert.deepEqual((await api.twins.get({ deviceId: 'd1' })).configurations, { low: { status: 'applied' } });

  await api.twins.update({ deviceId: 'd1' }, { tags: { fast: true } });
  assert.deepEqual(await heard(client), { mode: 'high', $version: 4 }, 'the higher priority wins the path it sets');
  assert.deepEqual(await desired(api, 'd1'), { own: true, mode: 'high', limits: { speed: 1 } });
  const states = { low: { status: 'applied' }, high: { status: 'applied' } };
  assert.deepEqual((await api.twins.get({ deviceId: 'd1' })).configurations, states);

  await api.configurations.delete('high');
  assert.deepEqual(await heard(client), { mode: 'low', $version: 5 }, 'the next priority applies');

  await api.twins.update({ deviceId: 'd1' }, { tags: { site: null } });
  assert.deepEqual(await heard(client), { mode: null, limits: null, $version: 6 });
  assert.deepEqual(await desired(api, 'd1'), { own: true }, 'what others have set stays');
  assert.equal((await api.twins.get({ deviceId: 'd1' })).configurations, undefined);
  assert.equal((await api.twins.get({ deviceId: 'd2' })).properties.desired.$version, 1, 'nobody else is touched');
});

test('what a back end writes over a setting is set again, and what a device reports can make it a target', async () => {
  await using hub = await startHub();
  using closing = clientOf(hub);
  const { api } = closing;
  await api.devices.create('d1');
  const client = await listen(hub, api, 'd1');
  await api.configurations.create('c', {
    content: content({ a: { b: 1 } }),
    targetCondition: "properties.reported.firmware = '1.0'",
    metrics: { queries: { done: 'SELECT deviceId FROM devices WHERE properties.reported.a.b = 1' } },
  });
  client.publish({ topic: '$iothub/twin/PATCH/properties/reported/?$rid=1', payload: '{"firmware":"1.0"}' });
  const topics: string[] = [];
  for (let n = 0; n < 2; n++) topics.push((await client.next('publish')).topic.slice(0, 21));
  assert.deepEqual(topics.sort(), ['$iothub/twin/PATCH/pr', '$iothub/twin/res/204/']);
  await api.twins.update({ deviceId: 'd1' }, { properties: { desired: { a: { b: 2 } } } });
  assert.deepEqual(await heard(client), { a: { b: 2 }, $version: 3 });
  assert.deepEqual(await heard(client), { a: { b: 1 }, $version: 4 });
  client.publish({ topic: '$iothub/twin/PATCH/properties/reported/?$rid=2', payload: '{"a":{"b":1}}' });
  await until('the metric counts what is reported', async () => {
    const { systemMetrics, metrics } = await api.configurations.get('c');
    assert.deepEqual(systemMetrics.results, { targetedCount: 1, appliedCount: 1 });
    return metrics.results.done === 1;
  });
  for (const query of Object.values((await api.configurations.get('c')).systemMetrics.queries)) {
    assert.deepEqual((await api.queries.page(query)).rows, [{ deviceId: 'd1' }], query);
  }
  await api.devices.delete('d1');
  const { systemMetrics, metrics } = await api.configurations.get('c');
  assert.deepEqual([systemMetrics.results, metrics.results], [{ targetedCount: 0, appliedCount: 0 }, { done: 0 }]);
});

test('a configuration of modules sets theirs, and a deployment makes the modules of an edge device', async () => {
  await using hub = await startHub();
  using closing = clientOf(hub);
  const { api } = closing;
  await api.devices.create('d1');
  await api.modules.create('d1', 'm1');
  await api.devices.create('edge', { capabilities: { iotEdge: true } });
  await api.twins.update({ deviceId: 'edge' }, { tags: { site: 'north' } });
  await api.configurations.create('of-modules', {
    content: { moduleContent: { 'properties.desired.m': 1 } },
    targetCondition: "FROM devices.modules WHERE moduleId = 'm1'",
  });
  const modules = (names: readonly string[]) => Object.fromEntries(names.map((name) => [name, { type: 'docker' }]));
  await api.configurations.create('base', {
    content: {
      modulesContent: {
        $edgeAgent: { 'properties.desired': { schemaVersion: '1.0', modules: modules(['sensor']) } },
        $edgeHub: { 'properties.desired': { routes: {} } },
        sensor: { 'properties.desired': { rate: 5 } },
      },
    },
    targetCondition: "tags.site = 'north'",
    priority: 5,
  });
  await api.configurations.create('layer', {
    content: {
      modulesContent: {
        $edgeAgent: { 'properties.desired.modules.filter': { type: 'docker' } },
        sensor: { 'properties.desired.unit': 'C' },
      },
    },
    targetCondition: "deviceId = 'edge'",
    priority: 6,
  });
  const named = async (): Promise<readonly string[]> =>
    (await api.modules.list('edge')).map(({ moduleId, managedBy }) => `${moduleId} ${managedBy}`);
  await until('the modules are there', async () => (await named()).length === 4);
  assert.deepEqual(await named(), ['$edgeAgent IotEdge', '$edgeHub IotEdge', 'filter IotEdge', 'sensor IotEdge']);
  await until('the modules have their settings', async () => {
    const agent = (await desired(api, 'edge', '$edgeAgent')) as { modules?: object };
    return (
      Object.keys(agent.modules ?? {}).length === 2 &&
      Object.keys((await desired(api, 'edge', 'sensor')) as object).length === 2
    );
  });
  assert.deepEqual(await desired(api, 'edge', 'sensor'), { rate: 5, unit: 'C' });
  assert.deepEqual(await desired(api, 'd1', 'm1'), { m: 1 });
  assert.deepEqual(
    (await api.queries.page("SELECT deviceId FROM devices WHERE configurations.[[layer]].status = 'Applied'")).rows,
    [{ deviceId: 'edge' }],
  );
  const { queries } = (await api.configurations.get('base')).systemMetrics;
  assert.deepEqual((await api.queries.page(queries.targetedCount)).rows, [{ deviceId: 'edge' }]);
  await api.twins.update({ deviceId: 'edge' }, { tags: { site: null } });
  await until('without a base nothing is laid over it', async () => {
    const agent = await desired(api, 'edge', '$edgeAgent');
    return Object.keys(agent as object).length === 0;
  });
  assert.deepEqual((await api.twins.get({ deviceId: 'edge' })).configurations, { layer: { status: 'targeted' } });
});

test('content can be applied to one edge device by itself', async () => {
  await using hub = await startHub();
  using closing = clientOf(hub);
  const { api } = closing;
  await api.devices.create('edge', { capabilities: { iotEdge: true } });
  await api.devices.create('plain');
  const modulesContent = {
    $edgeAgent: { 'properties.desired': { modules: { a: {} } } },
    b: { 'properties.desired.x.y': 1 },
  };
  await assert.rejects(api.configurations.apply('plain', { modulesContent }), { code: 'ArgumentInvalid' });
  await assert.rejects(api.configurations.apply('none', { modulesContent }), { code: 'DeviceNotFound' });
  await api.configurations.apply('edge', { modulesContent });
  const modules = (await api.modules.list('edge')).map(({ moduleId, managedBy }) => [moduleId, managedBy]);
  assert.deepEqual(modules, [
    ['$edgeAgent', 'IotEdge'],
    ['$edgeHub', 'IotEdge'],
    ['a', 'IotEdge'],
    ['b', null],
  ]);
  assert.deepEqual(await desired(api, 'edge', 'b'), { x: { y: 1 } });
  assert.deepEqual(await desired(api, 'edge', '$edgeAgent'), { modules: { a: {} } });
});
