/** A process that is started by mistake under the name of a node that lives. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { apiOf } from '../drivers/api.ts';
import { clusterMissing, connectDevice, makeDevice, startCluster } from '../drivers/cluster.ts';
import { until } from '../drivers/until.ts';

const missing = clusterMissing();
if (missing !== undefined) process.stderr.write(`NOT TESTED: a node of another’s name (${missing})\n`);

test('who is started under the name of a node that lives is refused, and has ended nothing of that node', {
  skip: missing ?? false,
}, async () => {
  await using cluster = await startCluster({ nodes: 2 });
  const [a, b] = cluster.nodes;
  await makeDevice(a, 'd1');
  const { client } = await connectDevice(a, 'd1');
  const api = apiOf(b);
  const state = async (): Promise<unknown> => {
    for await (const row of api.queries.rows('SELECT connectionState FROM devices')) return row.connectionState;
  };
  await until('it is told to be connected', async () => (await state()) === 'Connected');
  let isOver = false;
  const starting = cluster.start({ args: ['--node-name', 'node-1'] }).finally(() => (isOver = true));
  const refused = assert.rejects(starting, /nodeName: another node of this hub has the name node-1, and lives/);
  const told = new Set<unknown>();
  await until('it is refused', async () => told.add(await state()) && isOver, { everyMs: 100, withinMs: 60_000 });
  await refused;
  assert.deepEqual([...told, await state()], ['Connected', 'Connected']);
  await client.ping();
  api.close();
  client.destroy();
});
