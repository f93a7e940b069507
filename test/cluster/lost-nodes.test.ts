/** Nodes that are killed, held, or cut off from the database: what others may take over by then they have let go of. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { IPublishPacket } from 'mqtt-packet';
import { limits } from '../../src/base/limits.ts';
import { apiOf } from '../drivers/api.ts';
import { clusterMissing, connectDevice, makeDevice, startCluster, subscribeAll } from '../drivers/cluster.ts';
import { until } from '../drivers/until.ts';

const missing = clusterMissing();
if (missing !== undefined) process.stderr.write(`NOT TESTED: nodes that are lost (${missing})\n`);
const skip = missing ?? false;

test('devices of a node that is killed are let in by another when its lease is over', { skip }, async (t) => {
  await using cluster = await startCluster({ nodes: 2 });
  const [a, b] = cluster.nodes;
  await makeDevice(a, 'd1');
  const { client } = await connectDevice(a, 'd1');
  client.publish({ topic: 'devices/d1/messages/events/', qos: 1, messageId: 1, payload: 'x' });
  await client.next('puback');
  await a.kill();
  const killed = performance.now();
  const again = await connectDevice(b, 'd1');
  assert.equal(again.returnCode, 0);
  const tookMs = performance.now() - killed;
  t.diagnostic(`let in after ${Math.round(tookMs)} ms`);
  assert.ok(tookMs <= limits.nodeLeaseMs + 2000, `${tookMs} ms`);
  assert.ok(tookMs > 1000, 'not before its lease is over');
  again.client.destroy();
  // It comes back under its name at once: its folder says that it has ended.
  const back = await a.restart();
  const there = await connectDevice(back, 'd1');
  assert.equal(there.returnCode, 0);
  there.client.destroy();
  await back.stop();
});

test('a command that a killed node had handed over comes again at once, before later ones', { skip }, async () => {
  await using cluster = await startCluster({ nodes: 2 });
  const [a, b] = cluster.nodes;
  await makeDevice(a, 'd1');
  const api = apiOf(b);
  const { client } = await connectDevice(a, 'd1');
  await subscribeAll(client, 'd1');
  await api.commands.send({ deviceId: 'd1' }, { messageId: 'first', bodyText: 'first' });
  await client.next('publish');
  await a.kill();
  await api.commands.send({ deviceId: 'd1' }, { messageId: 'second', bodyText: 'second' });
  const again = await connectDevice(b, 'd1');
  const came: string[] = [];
  while (came.length < 2) {
    const packet = (await again.client.next('publish')) as IPublishPacket;
    came.push(packet.payload.toString());
    again.client.send({ cmd: 'puback', messageId: packet.messageId });
  }
  assert.deepEqual(came, ['first', 'second']);
  const stepsOf = async (messageId: string): Promise<readonly string[]> => {
    const { commands } = await api.commands.find({ deviceId: 'd1' }, { messageId });
    return commands.flatMap(({ trail }) => trail.map(({ step }) => step));
  };
  await until('both are completed', async () => (await stepsOf('second')).at(-1) === 'completed');
  const steps = ['enqueued', 'handed-over', 'connection-lost', 'handed-over', 'completed'];
  assert.deepEqual(await stepsOf('first'), steps);
  api.close();
  again.client.destroy();
});

test('a node that is held beyond its lease acknowledges nothing more, and serves again by itself', {
  skip,
}, async (t) => {
  await using cluster = await startCluster({ nodes: 2 });
  const [a, b] = cluster.nodes;
  await makeDevice(a, 'd1');
  const { client } = await connectDevice(a, 'd1');
  client.publish({ topic: 'devices/d1/messages/events/', qos: 1, messageId: 1, payload: 'before' });
  await client.next('puback');
  a.signal('SIGSTOP');
  const held = performance.now();
  client.publish({ topic: 'devices/d1/messages/events/', qos: 1, messageId: 2, payload: 'while it is held' });
  const newer = await connectDevice(b, 'd1');
  assert.equal(newer.returnCode, 0);
  t.diagnostic(`let in at the other after ${Math.round(performance.now() - held)} ms`);
  a.signal('SIGCONT');
  await client.untilClosed();
  assert.deepEqual(
    client.unread.map(({ cmd }) => cmd),
    [],
    'nothing was acknowledged by the node that had been held',
  );
  await newer.client.ping();
  await until('it has a lease again', () => /has a lease again/.test(a.stderr()));
  const back = await connectDevice(a, 'd1');
  assert.equal(back.returnCode, 0);
  await newer.client.untilClosed();
  back.client.destroy();
  await sleep(0);
});
