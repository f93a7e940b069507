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
import { MixedLoad } from './mixed-load.ts';

const ROUNDS = Number(process.env.MOORING_TEST_KILLS ?? 4);
const SEED = Number(process.env.MOORING_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));
const SHAPE = { mqtt: 6, http: 4, amqp: 4, commands: 3, registry: 3 };
const LOAD_MS_MIN = 300;
const LOAD_MS_MAX = 1200;

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
    await load.start(hub, false);
    await sleep(LOAD_MS_MIN);
    await load.stop('finish');
    await load.check(hub, 'the end');
    t.diagnostic(`acknowledged: ${JSON.stringify(load.counts)}; ${load.eventsRead} events read back; lost: 0`);
    const { mqttTelemetry, httpTelemetry, amqpTelemetry, commandsCompleted, receiptsRead, registryWrites } =
      load.counts;
    for (const count of [
      mqttTelemetry,
      httpTelemetry,
      amqpTelemetry,
      commandsCompleted,
      receiptsRead,
      registryWrites,
    ]) {
      assert.ok(count > ROUNDS, `the load was a load: ${JSON.stringify(load.counts)}`);
    }
  } finally {
    await hub[Symbol.asyncDispose]();
  }
});
