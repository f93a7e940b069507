/** A node that is held beyond its lease, replaced under its own name by a process with another folder, and goes on then. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import type { JobJson } from '../../src/api/jobs.ts';
import { limits } from '../../src/base/limits.ts';
import { apiOf } from '../drivers/api.ts';
import { filesIn } from '../drivers/archive-files.ts';
import { archivedIn } from '../drivers/archive-rig.ts';
import { clusterMissing, connectDevice, makeDevice, startCluster } from '../drivers/cluster.ts';
import type { TestHub } from '../drivers/hub.ts';
import { until } from '../drivers/until.ts';
import { startWebhookWitness } from '../reliability/endpoint-witnesses.ts';
import { answering } from './answering-device.ts';

const missing = clusterMissing();
if (missing !== undefined) process.stderr.write(`NOT TESTED: a node that is replaced (${missing})\n`);

const METHODS = ['m0', 'm1', 'm2'];

test('who was held and replaced under its name does nothing of what it was at when it goes on', {
  skip: missing ?? false,
  timeout: 240_000,
}, async (t) => {
  const root = mkdtempSync(path.join(os.tmpdir(), 'replaced-node-'));
  await using opened = new AsyncDisposableStack();
  opened.defer(() => rmSync(root, { recursive: true }));
  const hook = opened.use(await startWebhookWitness(() => 1));
  const args = ['--endpoint-private-addresses', 'on', '--archive-folder', root];
  const cluster = opened.use(await startCluster({ nodes: 1, args }));
  const [older] = cluster.nodes;
  for (const id of ['d', 'stays', ...METHODS]) await makeDevice(older, id);
  const { routes, jobs, close } = apiOf(older);
  await routes.replace({
    endpoints: [
      { name: 'cold', kind: 'archive', fileSeconds: 5 },
      { name: 'hook', kind: 'webhook', url: hook.url },
    ],
    routes: [
      { name: 'archived', endpoint: 'cold' },
      { name: 'told', endpoint: 'hook' },
      { name: 'shown', endpoint: 'events' },
    ],
  });
  await jobs.create('methods', {
    type: 'scheduleDeviceMethod',
    queryCondition: `deviceId IN ['m0', 'm1', 'm2']`,
    cloudToDeviceMethod: { methodName: 'm', responseTimeoutInSeconds: 200 },
    maxExecutionTimeInSeconds: 200,
  } as never);
  close();

  let sent = 0;
  const send = async (node: TestHub, count: number): Promise<void> => {
    const { client, returnCode } = await connectDevice(node, 'd');
    assert.equal(returnCode, 0);
    for (const end = sent + count; sent < end; sent++) {
      const topic = `devices/d/messages/events/n=${sent}`;
      client.publish({ topic, payload: 'x', qos: 1, messageId: (sent % 60_000) + 1 });
      await client.next('puback');
    }
    client.destroy();
  };
  const archived = async (): Promise<number[]> => [...(await archivedIn(filesIn(root))).values()].flat();
  const told = (): number[] => (hook.lives.at(-1) ?? []).map(({ n }) => n);
  await send(older, 40);
  await until('the first are archived', async () => (await archived()).length === 40, { withinMs: 30_000 });
  await until('the first are told', () => told().length === 40);
  const stays = await connectDevice(older, 'stays');
  opened.defer(() => stays.client.destroy());
  // These wait for their file when it is held.
  await send(older, 20);
  await sleep(1500);
  older.signal('SIGSTOP');

  const newer = await cluster.start({ args: ['--node-name', 'node-1'] });
  await send(newer, 20);
  await until('the next are archived', async () => (await archived()).length === 80, { withinMs: 60_000 });
  await until('the next are told', () => new Set(told()).size === 80, { withinMs: 30_000 });
  const here = await connectDevice(newer, 'stays');
  opened.defer(() => here.client.destroy());
  const asked = new Map<string, number>();
  opened.use(clientOf(await answering(newer, 'm0', asked, true)));
  const api = apiOf(newer);
  opened.defer(() => api.close());
  const job = async (): Promise<JobJson> => (await api.jobs.get('methods')) as JobJson;
  const succeeded = async () => (await job()).deviceJobStatistics?.succeededCount;
  await until('the job goes on', async () => (await succeeded()) === 1, { withinMs: 30_000 });

  const client = new pg.Client(cluster.database.url);
  await client.connect();
  opened.defer(() => client.end());
  await client.query(`set search_path to ${cluster.database.schema}`);
  const held = async () =>
    (
      await client.query(`
        select endpoint || partition_number as what, node, fence::int from route_cursors
        union all select id, node, fence::int from jobs order by what`)
    ).rows;
  const before = await held();
  hook.nextLife();
  older.signal('SIGCONT');
  await until('it knows that it has no lease', () => /could not renew its lease/.test(older.stderr()));
  // Each of its looks comes around, and the time of its files.
  await sleep(limits.deliveryLeaseMs / 3 + 3000);
  await send(newer, 20);
  await until('the last are archived', async () => (await archived()).length >= 100, { withinMs: 60_000 });
  await until('the last are told', () => told().length >= 20, { withinMs: 30_000 });
  await sleep(limits.deliveryLeaseMs / 3);

  assert.deepEqual(await held(), before, 'nobody else has taken anything');
  const all = await archived();
  assert.deepEqual(
    all,
    all.map((_, nth) => nth),
    'each is in one file',
  );
  assert.equal(all.length, 100);
  assert.deepEqual(
    told(),
    Array.from({ length: 20 }, (_, nth) => 80 + nth),
  );
  for (const id of ['m1', 'm2']) opened.use(clientOf(await answering(newer, id, asked, true)));
  await until('the job ends', async () => (await job()).status === 'completed', { withinMs: 30_000 });
  assert.equal(await succeeded(), 3);
  assert.deepEqual(
    [...asked].sort(),
    METHODS.map((id) => [id, 1]),
  );
  // It was connected there, and has been here since: what the older one says of it is over.
  const query = `SELECT connectionState FROM devices WHERE deviceId = 'stays'`;
  for await (const row of api.queries.rows(query)) assert.equal(row.connectionState, 'Connected');
  t.diagnostic(`${all.length} events in ${filesIn(root).size} files`);
});

const clientOf = (client: { destroy(): void }): Disposable => ({ [Symbol.dispose]: () => client.destroy() });
