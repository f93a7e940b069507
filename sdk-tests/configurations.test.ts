/** Configurations and content of edge devices by the service SDKs, and what becomes of a twin by them. */
import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';
import type { ApiClient } from '../src/api/client.ts';
import { apiOf } from '../test/drivers/api.ts';
import type { TestHub } from '../test/drivers/hub.ts';
import { until } from '../test/drivers/until.ts';
import { startStockHub, whyNot } from './support/hub.ts';
import { missing } from './support/programs.ts';
import { shows } from './support/shows.ts';
import { TwinBackEnd, type TwinSdk, twinSdks } from './support/twins.ts';

interface Seen {
  readonly id: string;
  readonly etag: string;
  readonly priority: number;
  readonly systemMetrics: {
    readonly results: Readonly<Record<string, number>>;
    readonly queries: Readonly<Record<string, string>>;
  };
  readonly metrics: { readonly results: Readonly<Record<string, number>> };
}

describe('configurations', { skip: await whyNot() }, () => {
  let hub: TestHub;
  let api: ApiClient;

  before(async () => {
    hub = await startStockHub();
    api = apiOf(hub);
    await api.devices.create('configured');
    await api.twins.update({ deviceId: 'configured' }, { tags: { environment: 'test' } });
  });

  after(async () => {
    api?.close();
    await hub?.[Symbol.asyncDispose]();
  });

  function each(operation: string, work: (backEnd: TwinBackEnd, sdk: TwinSdk) => Promise<void>): void {
    for (const sdk of twinSdks) {
      shows({ sdk: sdk.name, transport: sdk.transport, operation }, missing(sdk.language), async () => {
        await using backEnd = await TwinBackEnd.start(hub, sdk);
        await work(backEnd, sdk);
      });
    }
  }

  const desired = async (): Promise<Record<string, unknown>> =>
    (await api.twins.get({ deviceId: 'configured' })).properties.desired;

  each('creates, lists, changes and deletes configurations, and reads their metrics', async (backEnd, sdk) => {
    const { client } = backEnd;
    const id = `chiller-${sdk.language.toLowerCase()}`;
    const wish = {
      ...{ id, schemaVersion: '1.0', targetCondition: "tags.environment = 'test'", priority: 10 },
      content: { deviceContent: { 'properties.desired.chiller-water': { temperature: 66, pressure: 28 } } },
      metrics: {
        queries: { cold: 'SELECT deviceId FROM devices WHERE properties.desired.chiller-water.temperature = 66' },
      },
    };
    const created: Seen = await client.must('configuration', 'create', wish);
    assert.deepEqual([created.id, created.priority], [id, 10]);
    let seen = created;
    await until('the metrics count the device', async () => {
      seen = await client.must('configuration', 'get', id);
      return seen.systemMetrics.results.appliedCount === 1;
    });
    assert.equal(seen.metrics.results.cold, 1);
    assert.deepEqual((await desired())['chiller-water'], { temperature: 66, pressure: 28 });
    const all: readonly Seen[] = await client.must('configuration', 'list');
    assert.ok(all.some((each) => each.id === id));
    const changed: Seen = await client.must('configuration', 'update', { ...wish, priority: 3, etag: seen.etag });
    assert.equal(changed.priority, 3);
    assert.notEqual(changed.etag, seen.etag);
    // Java's client sends `If-Match: *` whatever the ETag is.
    if (sdk.language !== 'Java') {
      const stale = String(await backEnd.refusal('configuration', 'update', { ...wish, priority: 4, etag: seen.etag }));
      assert.match(stale, /PreconditionFailed|412/);
    }
    const again = String(await backEnd.refusal('configuration', 'create', wish));
    assert.match(again, /ConfigurationAlreadyExists|409401|412|409/);
    await client.must('configuration', 'delete', id);
    assert.match(String(await backEnd.refusal('configuration', 'get', id)), /ConfigurationNotFound|404/);
    await until('what it has set is gone', async () => !('chiller-water' in (await desired())));
  });

  each('applies content to an edge device', async (backEnd, sdk) => {
    const deviceId = `edge-${sdk.language.toLowerCase()}`;
    await api.devices.create(deviceId, { capabilities: { iotEdge: true } });
    const modulesContent = {
      $edgeAgent: { 'properties.desired': { modules: { sensor: { type: 'docker' } } } },
      sensor: { 'properties.desired': { interval: 5 } },
    };
    await backEnd.client.must('configuration', 'apply', deviceId, { modulesContent });
    assert.deepEqual(
      (await api.modules.list(deviceId)).map(({ moduleId }) => moduleId),
      ['$edgeAgent', '$edgeHub', 'sensor'],
    );
    const { interval } = (await api.twins.get({ deviceId, moduleId: 'sensor' })).properties.desired;
    assert.equal(interval, 5);
    const none = String(await backEnd.refusal('configuration', 'apply', 'nobody', { modulesContent }));
    assert.match(none, /DeviceNotFound|404/);
  });
});
