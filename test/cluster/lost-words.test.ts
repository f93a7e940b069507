/** A node that changes something and dies before it has told the others: they find it out by themselves. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { IPublishPacket, Packet } from 'mqtt-packet';
import { limits } from '../../src/base/limits.ts';
import { apiOf } from '../drivers/api.ts';
import { clusterMissing, connectDevice, makeDevice, startCluster, subscribeAll } from '../drivers/cluster.ts';
import { freePorts } from '../drivers/free-ports.ts';
import type { TestHub } from '../drivers/hub.ts';
import { until } from '../drivers/until.ts';
import { ChaosLinks } from './chaos-links.ts';

const missing = clusterMissing() ?? (process.platform === 'linux' ? undefined : 'no /proc');
if (missing !== undefined) process.stderr.write(`NOT TESTED: words of nodes that are lost (${missing})\n`);
const [WRITER, HOLDER] = ['node-1', 'node-2'];

test('a device is told of desired properties that a node has changed which died before it could say so', {
  skip: missing ?? false,
}, async (t) => {
  const nodes: TestHub[] = [];
  await using links = new ChaosLinks(() => new Map(nodes.map(({ pid }, at) => [[WRITER, HOLDER][at], pid])));
  await using cluster = await startCluster({ nodes: 0 });
  for (const [at, name] of [WRITER, HOLDER].entries()) {
    const [port] = await freePorts(1);
    const address = `127.0.78.${at + 1}`;
    await links.open(name, port, { host: address, port });
    nodes.push(await cluster.start({ args: ['--node-port', String(port), '--node-address', address] }));
  }
  const [writer, holder] = nodes;
  await makeDevice(writer, 'd1');
  const { client } = await connectDevice(holder, 'd1');
  await subscribeAll(client, 'd1');
  const api = apiOf(writer);
  const target = { deviceId: 'd1' };
  const toldOf = async (): Promise<{ readonly n: number; readonly $version: number }> => {
    const isPatch = (packet: Packet): packet is IPublishPacket =>
      packet.cmd === 'publish' && packet.topic.startsWith('$iothub/twin/PATCH');
    await until('the device is told', () => client.unread.some(isPatch), {
      ...{ withinMs: 2 * limits.desiredLookMs, everyMs: 200 },
    });
    for (;;) {
      const packet = await client.next();
      if (isPatch(packet)) return JSON.parse(packet.payload.toString());
    }
  };
  await api.twins.update(target, { properties: { desired: { n: 1 } } });
  assert.deepEqual(await toldOf(), { n: 1, $version: 2 });

  await until('the nodes are linked', () => links.count(WRITER, HOLDER) > 0 && links.count(HOLDER, WRITER) > 0);
  links.split(WRITER, HOLDER);
  // It is answered when it is in the database; the word of it is on a link that carries nothing.
  await api.twins.update(target, { properties: { desired: { n: 2 } } });
  const changed = performance.now();
  await writer.kill();
  api.close();
  assert.deepEqual(await toldOf(), { n: 2, $version: 3 });
  const tookMs = performance.now() - changed;
  t.diagnostic(`told after ${Math.round(tookMs)} ms`);
  assert.ok(tookMs < limits.desiredLookMs + 15_000, `${tookMs} ms`);
  client.destroy();
});
