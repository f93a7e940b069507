/** Events on their way to endpoints outside the hub: real receivers, a real database, and a hub that is killed. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import pg from 'pg';
import { signSas } from '../../src/api/sas.ts';
import { apiOf } from '../drivers/api.ts';
import { startHub, type TestHub } from '../drivers/hub.ts';
import { MqttDriver } from '../drivers/mqtt.ts';
import { until } from '../drivers/until.ts';

const database = process.env.MOORING_TEST_POSTGRES;
const withDatabase = { skip: database === undefined && 'there is no PostgreSQL: scripts/postgres-for-tests.sh' };

/** A receiver of CloudEvents that keeps the ids and bodies that it has taken, in order. */
async function receiver(context: TestContext) {
  const taken: { readonly id: string; readonly body: unknown; readonly properties: object }[] = [];
  const receiver = { taken, status: 204, url: '', asked: 0 };
  const server = http.createServer(async (request, response) => {
    let text = '';
    for await (const chunk of request) text += chunk;
    if (request.method === 'OPTIONS') return response.setHeader('WebHook-Allowed-Origin', '*').end();
    receiver.asked += 1;
    if (receiver.status < 300) {
      const events = JSON.parse(text) as { id: string; data: { body: unknown; properties: object } }[];
      taken.push(...events.map(({ id, data }) => ({ id, body: data.body, properties: data.properties })));
    }
    response.writeHead(receiver.status).end('as it is told');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  context.after(() => server.close());
  receiver.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/events`;
  return receiver;
}

async function device(hub: TestHub, deviceId: string) {
  const api = apiOf(hub);
  const found = await api.devices.get(deviceId).catch(() => api.devices.create(deviceId));
  api.close();
  const key = found.authentication.symmetricKey.primaryKey ?? '';
  const token = await signSas({ resource: `localhost/devices/${deviceId}`, key, expiresAt: Date.now() + 3_600_000 });
  const username = `localhost/${deviceId}/?api-version=2021-04-12`;
  const fields = { clientId: deviceId, username, password: Buffer.from(token) };
  const { client, returnCode } = await MqttDriver.connect({ port: hub.endpoints.ports.mqtt ?? 0 }, fields);
  assert.equal(returnCode, 0);
  let messageId = 0;
  const send = async (body: string, bag = ''): Promise<void> => {
    messageId += 1;
    const type = '%24.ct=application%2Fjson&%24.ce=utf-8';
    const topic = `devices/${deviceId}/messages/events/${type}${bag === '' ? '' : `&${bag}`}`;
    client.publish({ topic, payload: body, qos: 1, messageId });
    await client.next('puback');
  };
  return { client, send };
}

test('events that match a route arrive at a webhook with what enrichments add; others do not', async (context) => {
  await using hub = await startHub({ args: ['--endpoint-private-addresses', 'on'] });
  const api = apiOf(hub);
  context.after(() => api.close());
  const hook = await receiver(context);
  await api.routes.replace({
    endpoints: [{ name: 'hook', kind: 'webhook', url: hook.url }],
    routes: [{ name: 'high', endpoint: 'hook', condition: "level = 'high'" }],
    enrichments: [{ key: 'hub', value: '$iothubname', endpoints: ['hook'] }],
  });
  const { client, send } = await device(hub, 'd1');
  await send('{"n":1}', 'level=high');
  await send('{"n":2}', 'level=low');
  await send('{"n":3}', 'level=high');
  await until('both are there', () => hook.taken.length >= 2);
  assert.deepEqual(
    hook.taken.map(({ body }) => body),
    [{ n: 1 }, { n: 3 }],
  );
  assert.deepEqual(hook.taken[0].properties, { level: 'high', hub: hub.endpoints.hubName });
  const [state] = await api.routes.endpoints();
  assert.deepEqual([state.name, state.health, state.delivered], ['hook', 'healthy', 2]);
  await client.disconnect();
});

test('a webhook that fails is told with its reason, holds up nothing, and has everything in the end', async (context) => {
  await using hub = await startHub({ args: ['--endpoint-private-addresses', 'on'] });
  const api = apiOf(hub);
  context.after(() => api.close());
  const hook = await receiver(context);
  hook.status = 503;
  await api.routes.replace({
    endpoints: [{ name: 'hook', kind: 'webhook', url: hook.url }],
    routes: [{ name: 'all', endpoint: 'hook' }],
  });
  const { client, send } = await device(hub, 'd1');
  for (let n = 0; n < 20; n += 1) await send(`{"n":${n}}`);
  await until('it is tried', () => hook.asked > 0);
  const stateOf = async () => (await api.routes.endpoints())[0];
  await until('it is degraded', async () => (await stateOf()).health === 'degraded');
  assert.equal((await stateOf()).reason, 'the webhook answered 503: as it is told');
  const health = await (
    await fetch(`http://127.0.0.1:${hub.endpoints.ports.admin}/readyz`, { headers: { accept: 'application/json' } })
  ).json();
  const check = (health as { checks: { name: string; status: string; reason?: string }[] }).checks.find(
    ({ name }) => name === 'endpoints',
  );
  assert.equal(check?.status, 'warn');
  assert.match(check?.reason ?? '', /^the endpoint hook has taken no events since .*503/);
  hook.status = 204;
  await until('everything is there', () => hook.taken.length >= 20);
  assert.deepEqual(
    hook.taken.map(({ body }) => body),
    Array.from({ length: 20 }, (_, n) => ({ n })),
  );
  await client.disconnect();
});

test('an address of this machine is not called unless the operator allows it', async (context) => {
  await using hub = await startHub();
  const api = apiOf(hub);
  context.after(() => api.close());
  const hook = await receiver(context);
  await api.routes.replace({
    endpoints: [{ name: 'hook', kind: 'webhook', url: hook.url.replace('http:', 'https:') }],
    routes: [{ name: 'all', endpoint: 'hook' }],
  });
  const { client, send } = await device(hub, 'd1');
  await send('{}');
  await until('it is degraded', async () => (await api.routes.endpoints())[0].health === 'degraded');
  assert.match((await api.routes.endpoints())[0].reason, /no public address/);
  assert.equal(hook.asked, 0);
  await client.disconnect();
});

test('a hub that is killed again and again delivers each acknowledged event, in order', {
  timeout: 180_000,
}, async (context) => {
  const kills = Number(process.env.MOORING_TEST_DELIVERY_KILLS ?? 2);
  const hook = await receiver(context);
  let hub = await startHub({ args: ['--endpoint-private-addresses', 'on'] });
  context.after(() => hub[Symbol.asyncDispose]());
  const first = apiOf(hub);
  await first.routes.replace({
    endpoints: [{ name: 'hook', kind: 'webhook', url: hook.url }],
    routes: [{ name: 'all', endpoint: 'hook' }],
  });
  first.close();
  const acknowledged: number[] = [];
  let n = 0;
  for (let round = 0; round <= kills; round += 1) {
    const { client, send } = await device(hub, 'd1');
    const ended = hub.ended.then(() => client.destroy());
    if (round < kills) setTimeout(() => void hub.kill(), 300 + 200 * Math.random());
    for (let at = 0; at < 2000; at += 1) {
      n += 1;
      try {
        await send(`{"n":${n}}`);
        acknowledged.push(n);
      } catch {
        break;
      }
    }
    if (round === kills) break;
    await hub.kill();
    await ended;
    hub = await hub.restart();
  }
  const bodies = (): number[] => hook.taken.map(({ body }) => (body as { n: number }).n);
  await until('the last one is there', () => bodies().includes(acknowledged.at(-1) as number));
  const firsts = [...new Set(bodies())];
  assert.deepEqual(
    firsts,
    [...firsts].sort((a, b) => a - b),
    'first appearances are in order',
  );
  const there = new Set(firsts);
  assert.deepEqual(
    acknowledged.filter((each) => !there.has(each)),
    [],
  );
  assert.ok(acknowledged.length > 100);
});

test('a table of PostgreSQL has each event once', withDatabase, async (context) => {
  await using hub = await startHub({ args: ['--endpoint-private-addresses', 'on'] });
  const api = apiOf(hub);
  const table = `events_${Date.now().toString(36)}`;
  const client = new pg.Client(database);
  await client.connect();
  context.after(async () => {
    api.close();
    await client.query(`drop table if exists ${table}`);
    await client.end();
  });
  await api.routes.replace({
    endpoints: [{ name: 'rows', kind: 'postgres', url: database, table }],
    routes: [{ name: 'all', endpoint: 'rows' }],
  });
  const shown = (await api.routes.get()).endpoints[0] as { url?: unknown };
  assert.equal(shown.url, '***');
  const { client: sender, send } = await device(hub, 'd1');
  for (let n = 0; n < 50; n += 1) await send(`{"n":${n}}`);
  const count = async (): Promise<number> => (await client.query(`select count(*)::int as n from ${table}`)).rows[0].n;
  await until('they are there', async () => (await count().catch(() => 0)) >= 50);
  const { rows } = await client.query(`select (body->>'n')::int as n from ${table} order by partition, sequence`);
  assert.deepEqual(
    rows.map(({ n }) => n),
    Array.from({ length: 50 }, (_, n) => n),
  );
  await sender.disconnect();
});
