/**
 * A hub whose database has a synchronous standby: the primary is killed under load, the standby is promoted, and the hub goes on there by
 * itself. What was acknowledged before is there.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { apiOf } from '../drivers/api.ts';
import { startHub } from '../drivers/hub.ts';
import { kafkaMissing, startKafka } from '../drivers/kafka.ts';
import { postgresMissing, startPostgres } from '../drivers/postgres.ts';
import { until } from '../drivers/until.ts';

const missing = kafkaMissing() ?? postgresMissing();
if (missing !== undefined) process.stderr.write(`NOT TESTED: a database that fails over (${missing})\n`);

test('a hub goes on at the standby of its database, with everything that was acknowledged', {
  skip: missing ?? false,
  timeout: 300_000,
}, async (t) => {
  await using primary = await startPostgres();
  await using standby = await primary.startStandby();
  await using kafka = await startKafka();
  const hosts = [standby, primary].map(({ url }) => new URL(url).host).join(',');
  await using hub = await startHub({
    args: [
      ...['--storage', 'cluster', '--kafka-brokers', kafka.brokers[0], '--kafka-replicas', '1'],
      ...['--kafka-in-sync-min', '1', '--partitions', '1'],
    ],
    // The standby first: a hub finds the one that takes writes.
    env: { MOORING_POSTGRES_URL: `postgres://mooring@${hosts}/postgres` },
  });
  const api = apiOf(hub);
  const acknowledged: string[] = [];
  let isOn = true;
  let count = 0;
  const writers = Array.from({ length: 4 }, async () => {
    while (isOn) {
      const id = `d${count++}`;
      const isDone = await api.devices.create(id, {}).then(
        () => true,
        () => false,
      );
      if (isDone) acknowledged.push(id);
      else await sleep(100);
    }
  });
  await until('devices are created', () => acknowledged.length > 20, { withinMs: 60_000 });
  await primary.kill();
  const killedAt = performance.now();
  const before = acknowledged.length;
  await standby.promote();
  const promotedMs = performance.now() - killedAt;
  await until('the hub goes on', () => acknowledged.length > before + 20, { withinMs: 90_000 });
  const goesOnMs = performance.now() - killedAt;
  isOn = false;
  await Promise.all(writers);
  t.diagnostic(
    `${acknowledged.length} acknowledged, ${before} of them by the primary; promoted after ${Math.round(promotedMs)} ms, 20 more after ${Math.round(goesOnMs)} ms`,
  );
  const lost: string[] = [];
  for (const id of acknowledged) if ((await api.devices.get(id).catch(() => undefined)) === undefined) lost.push(id);
  assert.deepEqual(lost, [], 'acknowledged and lost');
  api.close();
});
