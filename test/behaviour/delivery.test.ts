/** Events on their way to endpoints outside the hub: real receivers, a real database, and a hub that is killed. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import pg from 'pg';
import { apiOf } from '../drivers/api.ts';
import { startHub } from '../drivers/hub.ts';
import { senderOf } from '../drivers/sender.ts';
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

test('events that match a route arrive at a webhook with what enrichments add; others do not', async (context) => {
  await using hub = await startHub({ args: ['--endpoint-private-addresses', 'on'] });
  const api = apiOf(hub);
  context.after(() => api.close());
  const hook = await receiver(context);
  await api.routes.replace({
    endpoints: [{ name: 'hook', kind: 'webhook', url: hook.url }],
    routes: [{ name: 'high', endpoint: 'hook', condition: "level = 'high'" }],
    enrichments: [
      { key: 'hub', value: '$iothubname', endpoints: ['hook'] },
      { key: 'site', value: '$twin.tags.site', endpoints: ['hook'] },
      { key: 'limit', value: '$twin.properties.desired.limits.high', endpoints: ['hook'] },
      { key: 'nowhere', value: '$twin.tags.none', endpoints: ['hook'] },
    ],
  });
  await api.devices.create('d1');
  await api.twins.update(
    { deviceId: 'd1' },
    { tags: { site: 'north' }, properties: { desired: { limits: { high: 80 } } } },
  );
  const { client, send } = await senderOf(hub, 'd1');
  await send('{"n":1}', 'level=high');
  await send('{"n":2}', 'level=low');
  await send('{"n":3}', 'level=high');
  await until('both are there', () => hook.taken.length >= 2);
  assert.deepEqual(
    hook.taken.map(({ body }) => body),
    [{ n: 1 }, { n: 3 }],
  );
  const ofTwin = { site: 'north', limit: '80', nowhere: '$twin.tags.none' };
  assert.deepEqual(hook.taken[0].properties, { level: 'high', hub: hub.endpoints.hubName, ...ofTwin });
  await api.twins.update({ deviceId: 'd1' }, { tags: { site: 'south' } });
  await until(
    'the twin as it is now',
    async () => {
      await send('{"n":4}', 'level=high');
      return hook.taken.some(({ properties }) => (properties as { site?: string }).site === 'south');
    },
    { everyMs: 200 },
  );
  const [state] = await api.routes.endpoints();
  assert.deepEqual([state.name, state.health], ['hook', 'healthy']);
  assert.ok(state.delivered >= 3);
  await client.disconnect();
});

test('what enrichments add stands in the files of an archive too', async () => {
  await using hub = await startHub();
  const api = apiOf(hub);
  await api.devices.create('d1');
  await api.twins.update({ deviceId: 'd1' }, { tags: { site: 'north' } });
  await api.routes.replace({
    endpoints: [{ name: 'cold', kind: 'archive', format: 'json', fileSeconds: 1 }],
    routes: [{ name: 'all', endpoint: 'cold' }],
    enrichments: [{ key: 'where', value: '$twin.tags.site', endpoints: ['cold'] }],
  });
  api.close();
  const { client, send } = await senderOf(hub, 'd1');
  await send('{"n":1}', 'level=high');
  const root = path.join(hub.dataDir, 'archive');
  const lines = (): readonly string[] =>
    readdirSync(root, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && !entry.parentPath.includes('.staging') && entry.name.endsWith('.json'))
      .flatMap(({ parentPath, name }) => readFileSync(path.join(parentPath, name), 'utf8').trim().split('\n'));
  await until('it is archived', () => existsSync(root) && lines().some((line) => line.includes('"Properties"')));
  const [line] = lines().filter((each) => each.includes('"Properties"'));
  assert.deepEqual(JSON.parse(line).Properties, { level: 'high', where: 'north' });
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
  const { client, send } = await senderOf(hub, 'd1');
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
  const { client, send } = await senderOf(hub, 'd1');
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
    const { client, send } = await senderOf(hub, 'd1');
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
  const { client: sender, send } = await senderOf(hub, 'd1');
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
