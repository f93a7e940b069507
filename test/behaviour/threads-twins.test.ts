/** Twins and methods of devices whose connections are on listener threads. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { readTwinChange } from '../../src/core/twins/rules.ts';
import type { MqttDriver } from '../drivers/mqtt.ts';
import { owner } from '../drivers/owner.ts';
import { openThreadedHub } from '../drivers/threads.ts';

const ids = Array.from({ length: 8 }, (_, at) => `d${at}`);
const topics = ['$iothub/twin/res/#', '$iothub/twin/PATCH/properties/desired/#', '$iothub/methods/POST/#'];
const patient = new AbortController().signal;

async function subscribed(client: MqttDriver): Promise<MqttDriver> {
  client.send({ cmd: 'subscribe', messageId: 1, subscriptions: topics.map((topic) => ({ topic, qos: 0 })) });
  await client.next('suback');
  return client;
}

test('pushes in order, reports and methods reach devices on every thread', async () => {
  await using hub = await openThreadedHub(2);
  const clients = await Promise.all(ids.map(async (id) => subscribed(await hub.device(id))));
  const changes = 20;
  await Promise.all(
    ids.map(async (deviceId) => {
      for (let n = 1; n <= changes; n++) {
        const body = Buffer.from(JSON.stringify({ properties: { desired: { n } } }));
        await hub.hub.twins.change(owner, { deviceId }, readTwinChange(body, 'merge'));
      }
    }),
  );
  await Promise.all(
    clients.map(async (client) => {
      for (let n = 1; n <= changes; n++) {
        const { topic, payload } = await client.next('publish');
        assert.equal(topic, `$iothub/twin/PATCH/properties/desired/?$version=${n + 1}`);
        assert.deepEqual(JSON.parse(payload.toString()), { n, $version: n + 1 });
      }
      client.publish({ topic: '$iothub/twin/PATCH/properties/reported/?$rid=1', payload: '{"done":true}' });
      assert.equal((await client.next('publish')).topic, '$iothub/twin/res/204/?$rid=1&$version=2');
      client.publish({ topic: '$iothub/twin/PATCH/properties/reported/?$rid=2', payload: '{"$x":true}' });
      assert.equal((await client.next('publish')).topic, '$iothub/twin/res/400/?$rid=2');
    }),
  );
  await Promise.all(
    ids.map(async (deviceId, at) => {
      const request = { name: 'who', payload: `"${deviceId}"`, responseMs: 5000, connectMs: 0 };
      const given = hub.hub.methods.invoke(owner, { deviceId }, request, patient);
      const { topic, payload } = await clients[at].next('publish');
      clients[at].publish({ topic: `$iothub/methods/res/200/?${topic.slice(topic.indexOf('?') + 1)}`, payload });
      assert.deepEqual(await given, { status: 200, payload: `"${deviceId}"` });
      const lost = assert.rejects(hub.hub.methods.invoke(owner, { deviceId }, request, patient), {
        code: 'DeviceConnectionClosedRemotely',
      });
      await clients[at].next('publish');
      clients[at].destroy();
      await lost;
    }),
  );
});

test('a device that takes its own place again and again is told each change once, and is asked each method once', async () => {
  await using hub = await openThreadedHub(2);
  const key = { deviceId: 'd0' };
  await hub.hub.registry.put(owner, key);
  let version = 1;
  let isOver = false;
  const desiring = (async () => {
    while (!isOver) {
      const body = Buffer.from(JSON.stringify({ properties: { desired: { n: version } } }));
      await hub.hub.twins.change(owner, key, readTwinChange(body, 'merge'));
      version++;
      await sleep(4);
    }
  })();
  const connections: { readonly client: MqttDriver; readonly before: number }[] = [];
  const calls: Promise<unknown>[] = [];
  for (let round = 0; round < 12; round++) {
    // It reaches the connection before, or waits for this one.
    const request = { name: 'once', payload: `${round}`, responseMs: 5000, connectMs: 5000 };
    calls.push(hub.hub.methods.invoke(owner, key, request, patient).catch(({ code }) => code));
    const client = await hub.device('d0');
    const before = version;
    connections.push({ client: await subscribed(client), before });
    await sleep(50);
  }
  isOver = true;
  await desiring;
  await sleep(50);
  connections[11].client.destroy();
  for (const outcome of await Promise.all(calls)) assert.equal(outcome, 'DeviceConnectionClosedRemotely');
  const asked: string[] = [];
  let changes = 0;
  for (const { client, before } of connections) {
    const told: number[] = [];
    for (const packet of client.unread) {
      if (packet.cmd !== 'publish') continue;
      const pushed = /desired\/\?\$version=(\d+)$/.exec(packet.topic)?.[1];
      if (pushed === undefined) asked.push(packet.payload.toString());
      else told.push(Number(pushed));
    }
    changes += told.length;
    for (const [at, each] of told.entries()) assert.equal(each, told[0] + at, 'no gap, and nothing twice');
    assert.ok(told.length === 0 || told[0] > before, `${told[0]} was there before the subscription`);
  }
  assert.ok(changes > 0);
  // What was written to a connection as it ended may not have come through.
  assert.ok(asked.length > 0);
  assert.equal(new Set(asked).size, asked.length, 'none is asked twice');
});
