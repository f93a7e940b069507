/**
 * A hub under attack, as a process of its own: a well-behaved client sends and reads all the while, and loses nothing. What
 * it costs him is printed and goes to `docs/reliability.md`; it is not asserted, because machines differ.
 *
 *     MOORING_HOSTILE_SECONDS=60 node --test test/hostile/network.test.ts     # each attack for a minute
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { apiOf } from '../drivers/api.ts';
import { startHub } from '../drivers/hub.ts';
import { attacks } from './attacks.ts';
import { type Figures, startGoodClient } from './good-client.ts';

const seconds = Number(process.env.MOORING_HOSTILE_SECONDS ?? 1.5);
/** Far over what all these attacks together may make the hub keep, and far under what they would like it to. */
const RSS_MIB_MAX = 1024;

const row = (name: string, { sent, p50, p99, connects, connectP50, connectMax, retries, rssMiB }: Figures): string =>
  [
    name.padEnd(66),
    String(sent).padStart(5),
    p50.toFixed(1).padStart(7),
    p99.toFixed(1).padStart(7),
    String(connects).padStart(5),
    connectP50.toFixed(0).padStart(6),
    connectMax.toFixed(0).padStart(6),
    String(retries).padStart(5),
    String(rssMiB).padStart(5),
  ].join(' ');

test('who behaves is served while others attack, and loses nothing', {
  timeout: 120_000 + attacks.length * 2000 * seconds,
}, async () => {
  await using hub = await startHub();
  const api = apiOf(hub);
  for (const id of ['good-1', 'good-2', 'good-3', 'slow']) await api.devices.create(id, {});
  api.close();
  const good = await startGoodClient(hub);
  const lasting = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
  console.log('attack'.padEnd(66), ' sent   p50ms   p99ms  conn  p50ms  maxms retry rssMiB');
  console.log(row('none', await good.measured(() => lasting(1000 * seconds))));
  for (const [at, attack] of attacks.entries()) {
    const attacker = new Worker(new URL('./attacker.ts', import.meta.url), {
      workerData: { at, victim: { endpoints: hub.endpoints } },
    });
    const ended = once(attacker, 'exit');
    const figures = await good.measured(() => lasting(1000 * seconds));
    attacker.postMessage('stop');
    assert.deepEqual(await ended, [0], `${attack.name} did not run`);
    console.log(row(attack.name, figures));
    assert.ok(figures.sent > 0, `${attack.name}: nobody was served`);
    assert.ok(!(figures.rssMiB > RSS_MIB_MAX), `${attack.name}: ${figures.rssMiB} MiB`);
  }
  console.log(row('none, afterwards', await good.measured(() => lasting(1000 * seconds))));
  const { acknowledged, lost } = await good.finish();
  console.log(`${acknowledged} messages acknowledged, ${lost.length} lost`);
  assert.deepEqual(lost, []);
  const lines = hub
    .stderr()
    .split('\n')
    .filter((line) => line !== '');
  for (const line of lines) assert.doesNotThrow(() => JSON.parse(line), `not a line of the log: ${line.slice(0, 200)}`);
  assert.deepEqual(
    lines.filter((line) => JSON.parse(line).level === 'error'),
    [],
  );
  assert.deepEqual(await hub.stop(), { code: 0, signal: null });
});
