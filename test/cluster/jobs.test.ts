/** Jobs and methods of a hub of several nodes: devices are at another node than the one that works for them, and that one is killed. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { JobJson } from '../../src/api/jobs.ts';
import { limits } from '../../src/base/limits.ts';
import { apiOf } from '../drivers/api.ts';
import { ownerOf } from '../drivers/back-end.ts';
import { clusterMissing, makeDevice, startCluster } from '../drivers/cluster.ts';
import { until } from '../drivers/until.ts';
import { answering } from './answering-device.ts';

const missing = clusterMissing();
if (missing !== undefined) process.stderr.write(`NOT TESTED: jobs of a cluster (${missing})\n`);
const skip = missing ?? false;

test('a method that waits for its device reaches it when it connects at another node', { skip }, async () => {
  await using cluster = await startCluster({ nodes: 2 });
  const [a, b] = cluster.nodes;
  await makeDevice(a, 'd1');
  const ask = await ownerOf(a);
  const answer = ask('POST', '/twins/d1/methods?api-version=2021-04-12', {
    body: { methodName: 'who', connectTimeoutInSeconds: 60, responseTimeoutInSeconds: 20 },
  });
  // By then it has been looked for.
  await sleep(2000);
  const client = await answering(b, 'd1', new Map(), true);
  const { status, body } = await answer;
  assert.equal(status, 200, body.toString());
  client.destroy();
});

test('jobs of a node that is killed are carried on by another: each twin once, no method twice', {
  skip,
}, async (t) => {
  await using cluster = await startCluster({ nodes: 2 });
  const [a, b] = cluster.nodes;
  const [atA, atB] = [apiOf(a), apiOf(b)];
  const ids = Array.from({ length: 60 }, (_, at) => `d${at}`);
  await Promise.all(ids.map((id) => makeDevice(b, id)));
  const asked = new Map<string, number>();
  // Some answer, some keep still, some come when the node has died.
  const clients = await Promise.all([
    ...['d0', 'd1', 'd2'].map((id) => answering(b, id, asked, true)),
    ...['d3', 'd4'].map((id) => answering(b, id, asked, false)),
  ]);
  const named = ['d0', 'd1', 'd2', 'd3', 'd4', 'd5', 'd6'];
  await atA.jobs.create('methods', {
    type: 'scheduleDeviceMethod',
    queryCondition: `deviceId IN [${named.map((id) => `'${id}'`).join(', ')}]`,
    cloudToDeviceMethod: { methodName: 'm', responseTimeoutInSeconds: 300 },
    maxExecutionTimeInSeconds: 300,
  } as never);
  await until('those that are there are asked', () => asked.size === 5, { withinMs: 20_000 });
  const statistics = async (id: string) => (await atB.jobs.get(id)) as JobJson;
  await until('answers are kept', async () => (await statistics('methods')).deviceJobStatistics?.succeededCount === 3);
  await atA.jobs.create('twins', {
    type: 'scheduleUpdateTwin',
    queryCondition: '*',
    updateTwin: { etag: '*', properties: { desired: { v: 1 } } },
    maxExecutionTimeInSeconds: 300,
  } as never);
  await until('the job has begun', async () => (await statistics('twins')).status !== 'queued', { withinMs: 20_000 });
  await a.kill();
  const killed = performance.now();
  clients.push(await answering(b, 'd5', asked, true), await answering(b, 'd6', asked, true));
  for (const id of ['twins', 'methods']) {
    const withinMs = limits.jobLeaseMs + 30_000;
    await until(`${id} is completed`, async () => (await statistics(id)).status === 'completed', { withinMs });
  }
  t.diagnostic(`both jobs had ended ${Math.round(performance.now() - killed)} ms after the node was killed`);
  assert.deepEqual(
    [...asked].sort(),
    named.map((id) => [id, 1]),
  );
  const records = [];
  for await (const row of atB.queries.rows("SELECT * FROM devices.jobs WHERE devices.jobs.jobId = 'methods'"))
    records.push([row.deviceId, row.status]);
  assert.deepEqual(
    records,
    named.map((id) => [id, ['d3', 'd4'].includes(id) ? 'unknown' : 'completed']),
  );
  const versions = [];
  for await (const row of atB.queries.rows(
    'SELECT properties.desired.v AS v, properties.desired.$version AS n FROM devices',
  ))
    versions.push([row.v, row.n]);
  assert.deepEqual(
    versions,
    ids.map(() => [1, 2]),
  );
  for (const client of clients) client.destroy();
  for (const api of [atA, atB]) api.close();
});
