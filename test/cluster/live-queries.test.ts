/**
 * Live queries of a hub of several nodes: who follows at one of them holds the answer to the query, whichever node changes the fleet, over
 * a link that is cut and a node that is killed.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import type { ApiClient } from '../../src/api/client.ts';
import { limits } from '../../src/base/limits.ts';
import { apiOf } from '../drivers/api.ts';
import { clusterMissing, connectDevice, makeDevice, startCluster } from '../drivers/cluster.ts';
import { freePorts } from '../drivers/free-ports.ts';
import type { TestHub } from '../drivers/hub.ts';
import { until } from '../drivers/until.ts';
import { ChaosLinks } from './chaos-links.ts';
import { agrees, answerOf, Follower, tag } from './live-follower.ts';

const missing = clusterMissing();
if (missing !== undefined) process.stderr.write(`NOT TESTED: live queries of a cluster (${missing})\n`);
const skip = missing ?? false;

test('a query at one node knows who has connected at another, whose word of it is still on its way to the database', {
  skip,
}, async () => {
  await using cluster = await startCluster({ nodes: 2 });
  const [a, b] = cluster.nodes;
  const atA = apiOf(a);
  await makeDevice(b, 'd1');
  await tag(atA, 'd1', 0);
  const database = new pg.Client(cluster.database.url);
  await database.connect();
  await database.query(
    `set search_path to ${cluster.database.schema}; begin; lock table presence_states in share mode`,
  );
  const { client } = await connectDevice(b, 'd1');
  const asked = answerOf(atA);
  // Time enough for an answer that waits for nothing.
  await sleep(limits.nodeRowsBeginMs / 3);
  await database.query('commit');
  const rows = await asked;
  await database.end();
  client.destroy();
  atA.close();
  assert.deepEqual(rows.get('d1'), { deviceId: 'd1', connectionState: 'Connected', n: 0 });
});

test('who follows at one node is told what another changes, and goes on at that one', { skip }, async (t) => {
  await using cluster = await startCluster({ nodes: 2 });
  const [a, b] = cluster.nodes;
  const [atA, atB] = [apiOf(a), apiOf(b)];
  for (const id of ['d1', 'd2', 'd3']) await makeDevice(b, id);
  await tag(atB, 'd1', 0);
  const follower = new Follower(atA);
  await until('it holds the rows', () => follower.isReady && follower.rows.has('d1'));

  const { client } = await connectDevice(b, 'd1');
  client.publish({ topic: '$iothub/twin/PATCH/properties/reported/?$rid=1', payload: '{"r":7}' });
  await until('it is told of both', () => {
    const held = follower.rows.get('d1') as { connectionState: string; r?: number };
    return held.connectionState === 'Connected' && held.r === 7;
  });
  await tag(atB, 'd2', 1);
  await tag(atB, 'd3', 1);
  await atB.devices.delete('d3');
  client.destroy();
  await agrees('enters, leaves and a device that goes', follower, atA, 5000);

  const took: number[] = [];
  for (let n = 100; n < 300; n++) {
    await tag(atB, 'd2', n);
    const committed = performance.now();
    await until('it is told', () => follower.toldAt.has(n), { withinMs: 5000 });
    took.push(Math.max(0, (follower.toldAt.get(n) ?? 0) - committed));
  }
  took.sort((one, other) => one - other);
  t.diagnostic(
    `answered at one node to told at the other: p50 ${took[99].toFixed(1)} ms, p99 ${took[197].toFixed(1)} ms`,
  );
  assert.deepEqual(follower.resets, ['new']);

  const after = follower.id;
  await follower.leave();
  const again = new Follower(atB, after);
  await agrees('at the other node', again, atB, 5000);
  assert.deepEqual(again.resets, ['forgotten']);
  await tag(atA, 'd2', 1000);
  await until('it is told there', () => again.toldAt.has(1000));
  await again.leave();
  for (const api of [atA, atB]) api.close();
});

test('who follows holds the answer again after a link is cut, and after a node is killed among its changes', {
  skip,
}, async (t) => {
  const nodes: TestHub[] = [];
  await using links = new ChaosLinks(() => new Map(nodes.map(({ pid }, at) => [`node-${at + 1}`, pid])));
  await using cluster = await startCluster({ nodes: 0 });
  for (let at = 0; at < 2; at++) {
    const [port] = await freePorts(1);
    const address = `127.0.78.${at + 1}`;
    await links.open(`node-${at + 1}`, port, { host: address, port });
    nodes.push(await cluster.start({ args: ['--node-port', String(port), '--node-address', address] }));
  }
  const [a, b] = nodes;
  const [atA, atB] = [apiOf(a), apiOf(b)];
  const ids = Array.from({ length: 12 }, (_, at) => `d${at}`);
  await Promise.all(ids.map((id) => makeDevice(b, id)));
  const follower = new Follower(atA);
  await until('it follows', () => follower.isReady);
  let n = 0;
  let isOn = true;
  /** Changes one device after the other at the node; each leaves the result now and then. */
  const change = async (api: ApiClient): Promise<void> => {
    while (isOn) {
      n++;
      await tag(api, ids[n % ids.length], n % 5 === 0 ? null : n).catch(() => {});
    }
  };
  const cutting = [change(atB), change(atB)];
  await sleep(500);
  links.split('node-1', 'node-2');
  await sleep(2000);
  isOn = false;
  await Promise.all(cutting);
  const ms = await agrees('while the link is cut', follower, atA, 20_000);
  t.diagnostic(`holds the answer ${Math.round(ms)} ms after the last change behind a link that is cut`);
  links.heal(false);
  await tag(atB, 'd0', 5000);
  await until('the link goes on', () => follower.toldAt.has(5000), { withinMs: 10_000 });

  const { client } = await connectDevice(b, 'd0');
  isOn = true;
  const killed = [change(atB), change(atB), change(atB)];
  await sleep(500);
  await b.kill();
  isOn = false;
  client.destroy();
  await Promise.all(killed);
  const goneMs = await agrees('after the node has died', follower, atA, limits.nodeLeaseMs + 10_000);
  t.diagnostic(`holds the answer ${Math.round(goneMs)} ms after a node was killed among its changes`);
  await until(
    'its device is told to be gone',
    () => (follower.rows.get('d0') as { connectionState?: string } | undefined)?.connectionState !== 'Connected',
    { withinMs: limits.nodeLeaseMs + 10_000 },
  );
  await agrees('in the end', follower, atA, 5000);
  assert.deepEqual(follower.resets, ['new']);
  await follower.leave();
  for (const api of [atA, atB]) api.close();
});
