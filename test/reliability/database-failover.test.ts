/**
 * A database with a synchronous standby: the primary is killed under load, the standby is promoted, and the tables go on there by
 * themselves. What was acknowledged before is there.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { systemClock } from '../../src/base/clock.ts';
import { silentLog } from '../../src/base/log.ts';
import { openPostgresTables } from '../../src/stores/cluster/postgres.ts';
import { exampleIdentity } from '../../src/stores/contract/identities.ts';
import { postgresMissing, startPostgres } from '../drivers/postgres.ts';
import { until } from '../drivers/until.ts';

const missing = postgresMissing();
if (missing !== undefined) process.stderr.write(`NOT TESTED: a database that fails over (${missing})\n`);
const WRITERS = 4;

test('tables go on at the standby of their database, with everything that was acknowledged', {
  skip: missing ?? false,
  timeout: 240_000,
}, async (t) => {
  await using primary = await startPostgres();
  await using standby = await primary.startStandby();
  // The standby first: the one that takes writes is found.
  const hosts = [standby, primary].map(({ url }) => new URL(url).host).join(',');
  const url = `postgres://mooring@${hosts}/postgres`;
  const cipher = { keys: [Buffer.alloc(32, 3)], source: 'test' };
  const tables = await openPostgresTables({ url, schema: 'mooring', cipher, log: silentLog, clock: systemClock });
  t.after(() => tables.close());
  const acknowledged: string[] = [];
  let isOn = true;
  let count = 0;
  const writers = Array.from({ length: WRITERS }, async () => {
    while (isOn) {
      const deviceId = `d${count++}`;
      const write = { kind: 'create', identity: exampleIdentity({ deviceId }), countMax: 1_000_000 } as const;
      const outcomes = await tables.identities.write([write]).catch(() => undefined);
      if (outcomes !== undefined) acknowledged.push(deviceId);
      else await sleep(100);
    }
  });
  await until('identities are written', () => acknowledged.length > 50, { withinMs: 60_000 });
  await primary.kill();
  const killedAt = performance.now();
  const before = acknowledged.length;
  await standby.promote();
  await until('they are again', () => acknowledged.length > before + 50, { withinMs: 90_000 });
  t.diagnostic(
    `${acknowledged.length} acknowledged; goes on ${Math.round(performance.now() - killedAt)} ms after the kill`,
  );
  isOn = false;
  await Promise.all(writers);
  const found = await Promise.all(acknowledged.map((deviceId) => tables.identities.get({ deviceId })));
  const lost = acknowledged.filter((_, at) => found[at] === undefined);
  assert.deepEqual(lost, [], 'acknowledged and lost');
});
