/** Routes: what readers of the built-in event hub see, over one listener thread and over two. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { ApiClient } from '../../src/api/client.ts';
import { ApiError } from '../../src/api/exchange.ts';
import { signSas } from '../../src/api/sas.ts';
import { apiOf } from '../drivers/api.ts';
import { startHub, type TestHub } from '../drivers/hub.ts';
import { MqttDriver } from '../drivers/mqtt.ts';
import { until } from '../drivers/until.ts';
import { readToEnd } from '../reliability/event-reader.ts';

const port = (hub: TestHub, name: 'mqtt' | 'amqp'): number => hub.endpoints.ports[name] ?? 0;

async function connect(hub: TestHub, api: ApiClient, deviceId: string): Promise<MqttDriver> {
  const device = await api.devices.create(deviceId);
  const key = device.authentication.symmetricKey.primaryKey ?? '';
  const token = await signSas({ resource: `localhost/devices/${deviceId}`, key, expiresAt: Date.now() + 3_600_000 });
  const username = `localhost/${deviceId}/?api-version=2021-04-12`;
  const fields = { clientId: deviceId, username, password: Buffer.from(token) };
  const { client, returnCode } = await MqttDriver.connect({ port: port(hub, 'mqtt') }, fields);
  assert.equal(returnCode, 0);
  return client;
}

let messageId = 0;

async function send(client: MqttDriver, deviceId: string, bag: string, payload: string): Promise<void> {
  const topic = `devices/${deviceId}/messages/events/${bag}`;
  client.publish({ topic, payload, qos: 1, messageId: (++messageId % 60_000) + 1 });
  await client.next('puback');
}

/** Bodies that readers see of a device, in order; it ends, although the last events may be hidden. */
async function seen(hub: TestHub, deviceId: string): Promise<readonly string[]> {
  const bodies: string[] = [];
  const place = { port: port(hub, 'amqp'), connectionString: hub.endpoints.connectionStrings.eventHubsEmulator };
  await readToEnd(place, new Map(), (event) => {
    if (event.deviceId === deviceId) bodies.push(event.body.toString());
  });
  return bodies;
}

for (const threads of ['1', '2']) {
  describe(`with ${threads} listener thread(s)`, () => {
    let hub: TestHub;
    let api: ApiClient;
    before(async () => {
      hub = await startHub({ args: ['--threads', threads] });
      api = apiOf(hub);
    });
    after(async () => {
      api.close();
      await hub[Symbol.asyncDispose]();
    });

    test('an event that goes elsewhere is not seen, from the change of the routes on and until they change again', async () => {
      const client = await connect(hub, api, 'd1');
      await send(client, 'd1', 'level=low', 'before');
      const elsewhere = { kind: 'kafka', brokers: ['127.0.0.1:1'], topic: 't' };
      await api.routes.put('endpoints', 'away', elsewhere);
      await api.routes.put('routes', 'low', { endpoint: 'away', condition: "level = 'low'" });
      // The door has prepared what it sends again and again.
      for (let at = 0; at < 5; at++) await send(client, 'd1', 'level=low', `hidden ${at}`);
      await send(client, 'd1', 'level=high', 'by fallback');
      await send(client, 'd1', 'level=low', 'last');
      assert.deepEqual(await seen(hub, 'd1'), ['before', 'by fallback']);
      await api.routes.put('routes', 'all', { endpoint: 'events' });
      await send(client, 'd1', 'level=low', 'both');
      assert.deepEqual(await seen(hub, 'd1'), ['before', 'by fallback', 'both']);
      await api.routes.replace({});
      for (let at = 0; at < 3; at++) await send(client, 'd1', 'level=low', `after ${at}`);
      assert.deepEqual(await seen(hub, 'd1'), ['before', 'by fallback', 'both', 'after 0', 'after 1', 'after 2']);
      await client.disconnect();
    });

    test('a partition of which nothing is shown looks empty, and a reader that waits there is not woken for nothing', async () => {
      const client = await connect(hub, api, 'd2');
      await api.routes.replace({ fallback: { isEnabled: false } });
      for (let at = 0; at < 300; at++) client.publish({ topic: 'devices/d2/messages/events/', payload: 'x', qos: 0 });
      await send(client, 'd2', '', 'x');
      assert.deepEqual(await seen(hub, 'd2'), []);
      await api.routes.replace({});
      await send(client, 'd2', '', 'shown');
      assert.deepEqual(await seen(hub, 'd2'), ['shown']);
      await client.disconnect();
    });

    test('routes by body and twin; a change of the twin is heeded', async () => {
      await api.devices.create('d3-first');
      const client = await connect(hub, api, 'd3');
      await api.twins.update({ deviceId: 'd3' }, { tags: { site: 'north' } });
      const bag = '%24.ct=application%2Fjson&%24.ce=utf-8';
      await api.routes.replace({
        fallback: { isEnabled: false },
        routes: [
          { name: 'hot', endpoint: 'events', condition: '$body.t > 80' },
          { name: 'south', endpoint: 'events', condition: "$twin.tags.site = 'south'" },
        ],
      });
      // Of a device that was connected already, the routes of before decide until its twin has been read.
      let tries = 0;
      await until('the new routes decide', async () => {
        await send(client, 'd3', bag, `{"t":0,"try":${++tries}}`);
        return !(await seen(hub, 'd3')).includes(`{"t":0,"try":${tries}}`);
      });
      await send(client, 'd3', bag, '{"t":81}');
      await send(client, 'd3', bag, '{"t":79}');
      await send(client, 'd3', bag, '{"t":82}');
      const hot = (await seen(hub, 'd3')).filter((body) => !body.startsWith('{"t":0'));
      assert.deepEqual(hot, ['{"t":81}', '{"t":82}']);
      await api.twins.update({ deviceId: 'd3' }, { tags: { site: 'south' } });
      await until(
        'the twin as it is now',
        async () => {
          await send(client, 'd3', bag, '{"t":1}');
          return (await seen(hub, 'd3')).includes('{"t":1}');
        },
        { everyMs: 200 },
      );
      await api.routes.replace({});
      await client.disconnect();
    });
  });
}

test('routes are declared in a file: config checks it, a start takes it, and calls cannot change it', async () => {
  const { mkdtempSync, writeFileSync, rmSync } = await import('node:fs');
  const { tmpdir } = await import('node:os');
  const path = await import('node:path');
  const { runConfig } = await import('../../src/server/config/config-command.ts');
  const { checkRoutes } = await import('../../src/server/routes/check.ts');
  const folder = mkdtempSync(path.join(tmpdir(), 'mooring-routes-'));
  const file = path.join(folder, 'routes.json');
  const check = async (text: string): Promise<string> => {
    writeFileSync(file, text);
    const said: string[] = [];
    const write = (part: string): void => void said.push(part);
    await runConfig(['check', '--routes-file', file], {}, { out: write, err: write }, checkRoutes);
    return said.join('');
  };
  assert.match(await check('{"routes":[\n{]}'), /routesFile .*routes\.json: it is no JSON: line 2, column 2/);
  const wrong = '{"routes":[{"name":"a","endpoint":"events"},{"name":"b","endpoint":"events","condition":"x = "}]}';
  assert.match(await check(wrong), /routes\[1\]\.condition: .*Line 1, column 5/);
  const good =
    '{"routes":[{"name":"low","endpoint":"events","condition":"level = \'low\'"}],"fallback":{"isEnabled":false}}';
  assert.match(await check(good), /The settings can be used/);
  await using hub = await startHub({ args: ['--routes-file', file] });
  const api = apiOf(hub);
  const client = await connect(hub, api, 'd1');
  await send(client, 'd1', 'level=high', 'high');
  await send(client, 'd1', 'level=low', 'low');
  assert.deepEqual(await seen(hub, 'd1'), ['low']);
  await assert.rejects(
    api.routes.replace({}),
    (error) => error instanceof ApiError && /routes\.json/.test(error.message),
  );
  assert.equal((await api.routes.get()).number, 1);
  await client.disconnect();
  await hub.stop();
  const again = await hub.restart();
  const after = apiOf(again);
  assert.equal((await after.routes.get()).number, 1, 'the same file is no change');
  after.close();
  api.close();
  await again[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});
