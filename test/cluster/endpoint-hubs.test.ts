/** Event hubs that routes lead to, over two nodes: either is read at both, and what one node leaves undelivered the other delivers. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { apiOf } from '../drivers/api.ts';
import { clusterMissing, connectDevice, makeDevice, startCluster } from '../drivers/cluster.ts';
import type { TestHub } from '../drivers/hub.ts';
import { until } from '../drivers/until.ts';
import { type ReadEvent, readToEnd } from '../reliability/event-reader.ts';

const missing = clusterMissing();
if (missing !== undefined) process.stderr.write(`NOT TESTED: event hubs of endpoints over nodes (${missing})\n`);
const DEVICES = ['d1', 'd2', 'd3', 'd4'];
const patience = { everyMs: 500, withinMs: 90_000 };

async function eventsAt(node: TestHub, eventHub: string, group = '$Default'): Promise<readonly ReadEvent[]> {
  const found: ReadEvent[] = [];
  const whole = node.endpoints.connectionStrings.eventHubsEmulator;
  const connectionString = whole.replace(/EntityPath=[^;]*/, `EntityPath=${eventHub}`);
  await readToEnd({ port: node.endpoints.ports.amqp ?? 0, connectionString, group }, new Map(), (event) =>
    found.push(event),
  );
  return found;
}

const placeOf = ({ partition, sequence, deviceId, body }: ReadEvent): string =>
  `${partition} ${sequence} ${deviceId} ${body}`;

/** Of each device the numbers of its messages, first appearances only. */
function firsts(events: readonly ReadEvent[]): Record<string, number[]> {
  const found = Object.fromEntries(DEVICES.map((deviceId) => [deviceId, new Set<number>()]));
  for (const { deviceId, body } of events) found[deviceId].add(Number(body.toString()));
  return Object.fromEntries(Object.entries(found).map(([deviceId, numbers]) => [deviceId, [...numbers]]));
}

async function send(node: TestHub, deviceId: string, from: number, to: number): Promise<void> {
  const { client, returnCode } = await connectDevice(node, deviceId);
  assert.equal(returnCode, 0);
  for (let n = from; n < to; n++) {
    client.publish({ topic: `devices/${deviceId}/messages/events/`, qos: 1, messageId: n + 1, payload: String(n) });
    await client.next('puback');
  }
  await client.disconnect();
}

test('two nodes read and deliver the event hub of an endpoint; the death of one loses nothing', {
  skip: missing ?? false,
  timeout: 300_000,
}, async () => {
  await using cluster = await startCluster({ nodes: 2 });
  const [a, b] = cluster.nodes;
  const api = apiOf(a);
  for (const deviceId of DEVICES) await makeDevice(a, deviceId);
  await api.routes.replace({
    endpoints: [{ name: 'copy', kind: 'eventHub', eventHub: 'Site.Copy', partitions: 2 }],
    routes: [{ name: 'all', endpoint: 'copy' }],
  });
  await api.consumerGroups.create('site.copy', 'night');
  const isOpen = (node: TestHub) =>
    eventsAt(node, 'site.copy', 'night').then(
      () => true,
      () => false,
    );
  assert.ok(await isOpen(a), 'open when it is answered');
  await until('the other node has it, too', () => isOpen(b), patience);

  await Promise.all(DEVICES.map((deviceId, at) => send(at % 2 === 0 ? a : b, deviceId, 0, 50)));
  const all = (count: number) => async () =>
    Object.values(firsts(await eventsAt(b, 'site.copy', 'night'))).every(({ length }) => length === count);
  await until('all are there', all(50), patience);
  const [atA, atB] = [await eventsAt(a, 'site.copy'), await eventsAt(b, 'SITE.COPY')];
  assert.deepEqual(atA.map(placeOf).sort(), atB.map(placeOf).sort(), 'both nodes show the same');
  assert.equal(atA.length, 200, 'each once');

  // Whoever delivers a partition, it is one of them; with `a` gone the other one has all after the lease.
  api.close();
  await Promise.all([...DEVICES.map((deviceId) => send(b, deviceId, 50, 100)), a.kill()]);
  await until('what came meanwhile is there', all(100), patience);
  const numbers = Array.from({ length: 100 }, (_, n) => n);
  const found = await eventsAt(b, 'site.copy');
  assert.deepEqual(firsts(found), Object.fromEntries(DEVICES.map((deviceId) => [deviceId, numbers])));
  const partitions = new Map(found.map(({ deviceId, partition }) => [deviceId, partition]));
  assert.ok(found.every(({ deviceId, partition }) => partitions.get(deviceId) === partition));
});
