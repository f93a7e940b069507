/** A node is emptied before it is stopped, and restarted while devices send: they go on at the others, and nothing is lost. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NodeJson } from '../../src/api/nodes.ts';
import { signSas } from '../../src/api/sas.ts';
import { apiOf } from '../drivers/api.ts';
import { clusterMissing, connectDevice, DEVICE_KEY, makeDevice, startCluster } from '../drivers/cluster.ts';
import { runMooring, type TestHub } from '../drivers/hub.ts';
import { until } from '../drivers/until.ts';
import { type ReadEvent, readToEnd } from '../reliability/event-reader.ts';
import { KillPublisher } from '../reliability/kill-publisher.ts';

const missing = clusterMissing();
if (missing !== undefined) process.stderr.write(`NOT TESTED: nodes that are emptied (${missing})\n`);
const skip = missing ?? false;
/** Of each device between an acknowledgement and its next message. */
const PACE_MS = 5;

const node = async (at: TestHub, ...args: readonly string[]) => {
  const { code, stdout, stderr } = await runMooring(['node', ...args, '--data-dir', at.dataDir, '--json']);
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout);
};

test('mooring node list and drain: devices leave, nobody comes in, and the node says so until it is stopped', {
  skip,
}, async () => {
  await using cluster = await startCluster({ nodes: 2 });
  const [a, b] = cluster.nodes;
  const ids = Array.from({ length: 25 }, (_, at) => `d${at}`);
  await Promise.all(ids.map((id) => makeDevice(b, id)));
  const devices = await Promise.all(ids.map((id) => connectDevice(a, id)));
  await until('the list counts them', async () => {
    const nodes = (await node(b, 'list')) as NodeJson[];
    return nodes.find(({ name }) => name === 'node-1')?.devices === ids.length;
  });
  const listed = (await node(b, 'list')) as NodeJson[];
  assert.deepEqual(
    listed.map(({ name, status, answering }) => [name, status, answering]),
    [
      ['node-1', 'serving', false],
      ['node-2', 'serving', true],
    ],
  );
  const { status } = (await node(b, 'drain', 'node-1', '--wait')) as NodeJson;
  assert.equal(status, 'draining');
  await Promise.all(devices.map(({ client }) => client.untilClosed()));
  await assert.rejects(connectDevice(a, 'd0'), /ECONNREFUSED/);
  const again = await Promise.all(ids.map((id) => connectDevice(b, id)));
  assert.ok(again.every(({ returnCode }) => returnCode === 0));
  assert.match(
    await (await fetch(`http://127.0.0.1:${a.endpoints.ports.admin}/readyz`)).text(),
    /this node is being emptied/,
  );
  const api = apiOf(b);
  await assert.rejects(api.nodes.drain('nobody'), { code: 'NodeNotFound' });
  api.close();
  assert.equal((await a.stop()).code, 0);
  assert.deepEqual(
    ((await node(b, 'list')) as NodeJson[]).map(({ name }) => name),
    ['node-2'],
  );
  const back = await a.restart();
  const one = await connectDevice(back, 'd0');
  assert.equal(one.returnCode, 0);
  await again[0].client.untilClosed();
  for (const { client } of [one, ...again]) client.destroy();
  await back.stop();
});

test('each of three nodes is restarted while devices send: nothing acknowledged is lost, nothing comes twice or out of order', {
  skip,
}, async (t) => {
  await using cluster = await startCluster({ nodes: 3 });
  const nodes = [...cluster.nodes];
  const [first] = nodes;
  const publishers = await Promise.all(
    Array.from({ length: 6 }, async (_, at) => {
      const deviceId = `p${at}`;
      await makeDevice(first, deviceId);
      const resource = `localhost/devices/${deviceId}`;
      const password = await signSas({ resource, key: DEVICE_KEY, expiresAt: Date.now() + 3_600_000 });
      const username = `localhost/${deviceId}/?api-version=2021-04-12`;
      const topic = `devices/${deviceId}/messages/events/`;
      return new KillPublisher({ clientId: deviceId, username, password, topic }, 7, PACE_MS);
    }),
  );
  /** Which node a publisher is at. */
  const at = publishers.map((_, nth) => nth % nodes.length);
  const start = (nth: number): Promise<void> => publishers[nth].start(nodes[at[nth]].endpoints.ports.mqtt ?? 0);
  await Promise.all(publishers.map((_, nth) => start(nth)));
  const pauses: number[] = [];
  for (let which = 0; which < nodes.length; which++) {
    const before = publishers.map((each) => each.acknowledgedCount);
    await until('all send', () => publishers.every((each, nth) => each.acknowledgedCount > before[nth] + 50));
    const stopped = nodes[which].stop();
    const moved = publishers.map(async (each, nth) => {
      if (at[nth] !== which) return;
      await each.ended();
      const left = performance.now();
      at[nth] = (which + 1) % nodes.length;
      await start(nth);
      pauses.push(performance.now() - left);
    });
    assert.equal((await stopped).code, 0);
    await Promise.all(moved);
    nodes[which] = await nodes[which].restart();
  }
  await Promise.all(publishers.map((each) => each.finish()));
  const events: ReadEvent[] = [];
  const { ports, connectionStrings } = nodes[0].endpoints;
  const place = { port: ports.amqp ?? 0, connectionString: connectionStrings.eventHubsEmulator };
  await readToEnd(place, new Map(), (event) => events.push(event));
  for (const publisher of publishers) {
    const own = events.filter(({ deviceId }) => deviceId === publisher.deviceId);
    const numbers = own.map(({ properties }) => Number(properties.n));
    assert.deepEqual(
      numbers,
      numbers.toSorted((one, other) => one - other),
    );
    const found = new Set(numbers);
    assert.equal(found.size, numbers.length);
    assert.deepEqual(
      publisher.acknowledgedNumbers().filter((n) => !found.has(n)),
      [],
    );
  }
  t.diagnostic(`${events.length} events; let in elsewhere after at most ${Math.round(Math.max(...pauses))} ms`);
  assert.ok(Math.max(...pauses) < 5000);
  for (const each of nodes) await each.stop();
});
