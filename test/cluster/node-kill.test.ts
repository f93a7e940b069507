/**
 * A node is killed that has all devices of a fleet: they are served by the others within its lease and 2 s, and nothing that was acknowledged
 * is lost.
 *
 *     MOORING_TEST_FLEET=5000 scripts/postgres-for-tests.sh npm test -- cluster/node-kill
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Balancer } from '../../scripts/cluster/balancer.ts';
import { limits } from '../../src/base/limits.ts';
import { clusterMissing, startCluster } from '../drivers/cluster.ts';
import { until } from '../drivers/until.ts';
import { readToEnd } from '../reliability/event-reader.ts';
import { PacedFleet } from './paced-fleet.ts';

const missing = clusterMissing();
if (missing !== undefined) process.stderr.write(`NOT TESTED: a node that is killed under a fleet (${missing})\n`);
const FLEET = Number(process.env.MOORING_TEST_FLEET ?? 100);
/** Between the messages of a device. */
const PERIOD_MS = Number(process.env.MOORING_TEST_FLEET_PERIOD_MS ?? 2000);
/** A short run is not about time: CI's machine may be busy. */
const IS_TIMED = FLEET >= 1000;
const WAIT_MS = 120_000;

test(`${FLEET} devices of a node that is killed are served by the others, and nothing is lost`, {
  skip: missing ?? false,
  timeout: 900_000,
}, async (t) => {
  await using cluster = await startCluster({ nodes: 3 });
  const [victim, ...others] = cluster.nodes;
  const targets = others.map(({ endpoints }, at) => ({
    name: `node-${at + 2}`,
    ports: endpoints.ports,
    adminPort: endpoints.ports.admin ?? 0,
  }));
  await using balancer = await Balancer.open([{ door: 'mqtt', port: 0 }], () => targets);
  let port = victim.endpoints.ports.mqtt ?? 0;
  const fleet = await PacedFleet.make(others[0], FLEET, PERIOD_MS, () => port);
  t.after(() => fleet.end());
  await fleet.connect(WAIT_MS);
  fleet.send();
  const sendMs = Math.max(2 * PERIOD_MS, 5000);
  await sleep(sendMs);
  const rate = Math.round((fleet.acknowledged * 1000) / sendMs);

  port = balancer.port('mqtt');
  const killed = performance.now();
  await victim.kill();
  const isBack = (): boolean => fleet.devices.every(({ isServed, servedAt }) => isServed && servedAt > killed);
  await until('all are served again', isBack, { withinMs: limits.nodeLeaseMs + WAIT_MS });
  const served = fleet.devices.map(({ servedAt }) => servedAt - killed).sort((a, b) => a - b);
  const since = performance.now();
  await until(
    'all are acknowledged again',
    () => fleet.devices.every(({ acknowledgedAt }) => acknowledgedAt > killed),
    {
      withinMs: WAIT_MS,
    },
  );
  const acknowledgedMs = performance.now() - since;
  fleet.stopSending();
  await sleep(1000);
  fleet.end();

  const { ports, connectionStrings } = others[0].endpoints;
  const place = { port: ports.amqp ?? 0, connectionString: connectionStrings.eventHubsEmulator };
  await readToEnd(place, new Map(), ({ deviceId, properties }) => fleet.take(deviceId, Number(properties.n)));
  const { acknowledged, lost, reordered } = fleet.check();
  const [half, last] = [served[served.length >> 1], served.at(-1) as number].map(Math.round);
  t.diagnostic(
    `${FLEET} devices, ${rate} messages/s; served by the others after ${half} ms at the median, ${last} ms at most; all acknowledged ` +
      `${Math.round(acknowledgedMs)} ms later; ${acknowledged} acknowledged, ${lost.length} lost, ${reordered} reordered`,
  );
  assert.deepEqual([lost.slice(0, 10), reordered], [[], 0]);
  if (IS_TIMED) assert.ok(last <= limits.nodeLeaseMs + 2000, `${last} ms`);
});
