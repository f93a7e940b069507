/**
 * `kill -9` under load over all protocols, again and again on one data folder: every acknowledged telemetry message,
 * command, completion, receipt and registry write is there afterwards, and nothing that was never asked for.
 * MOORING_TEST_KILLS sets the rounds, MOORING_TEST_SEED the seed.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { seededRandom } from '../../src/base/random.ts';
import { startHub } from '../drivers/hub.ts';
import { type LoadCounts, MixedLoad } from './mixed-load.ts';

const ROUNDS = Number(process.env.MOORING_TEST_KILLS ?? 4);
const SEED = Number(process.env.MOORING_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));
const SHAPE = { mqtt: 6, http: 4, amqp: 4, commands: 3, registry: 3 };
const LOAD_MS_MIN = 300;
const LOAD_MS_MAX = 1200;
const LAST_MS_MAX = 30_000;

test(`kill -9 under load over all protocols, ${ROUNDS} times: every acknowledged effect is there`, {
  timeout: 60_000 + ROUNDS * 30_000,
}, async (t) => {
  t.diagnostic(`MOORING_TEST_SEED=${SEED} MOORING_TEST_KILLS=${ROUNDS}`);
  const random = seededRandom(SEED);
  let hub = await startHub();
  try {
    const load = await MixedLoad.prepare(hub, SHAPE, SEED);
    for (let round = 1; round <= ROUNDS; round++) {
      await load.start(hub, true);
      await sleep(LOAD_MS_MIN + random.next() * (LOAD_MS_MAX - LOAD_MS_MIN));
      await hub.kill();
      await load.stop('killed');
      hub = await hub.restart();
      await load.check(hub, `round ${round}`);
    }
    // A clean end, and on a slow machine the time for what comes late: a batch of receipts waits to be filled.
    await load.start(hub, false);
    const end = Date.now() + LAST_MS_MAX;
    while (Object.values(acknowledged(load)).includes(0) && Date.now() < end) await sleep(LOAD_MS_MIN);
    await sleep(LOAD_MS_MIN);
    await load.stop('finish');
    await load.check(hub, 'the end');
    t.diagnostic(`acknowledged: ${JSON.stringify(load.counts)}; ${load.eventsRead} events read back; lost: 0`);
    const idle = Object.entries(acknowledged(load)).filter(([, count]) => count === 0);
    assert.deepEqual(idle, [], 'the load was a load');
  } finally {
    await hub[Symbol.asyncDispose]();
  }
});

function acknowledged(load: MixedLoad): Omit<LoadCounts, 'refused' | 'mqttTelemetry'> {
  const { refused: _refused, mqttTelemetry: _counted, ...counts } = load.counts;
  return counts;
}
