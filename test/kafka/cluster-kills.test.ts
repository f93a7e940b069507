/**
 * `kill -9` under load, again and again, of the hub, its broker, a process of its database and the database itself: every acknowledged
 * telemetry message, command, completion, receipt, twin and registry write is there afterwards, once, and nothing that was never asked for.
 * MOORING_TEST_CLUSTER_KILLS sets the rounds, MOORING_TEST_SEED the seed.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { token } from '../../bench/servers/hub.ts';
import { seededRandom } from '../../src/base/random.ts';
import { apiOf } from '../drivers/api.ts';
import { startHub, type TestHub } from '../drivers/hub.ts';
import { kafkaMissing, startKafka } from '../drivers/kafka.ts';
import { postgresMissing, startPostgres } from '../drivers/postgres.ts';
import { until } from '../drivers/until.ts';
import { MixedLoad } from '../reliability/mixed-load.ts';
import { TwinReporter } from '../reliability/twin-reporter.ts';

const missing = kafkaMissing() ?? postgresMissing();
if (missing !== undefined)
  process.stderr.write(`NOT TESTED: kills of a hub, its broker and its database (${missing})\n`);
const ROUNDS = Number(process.env.MOORING_TEST_CLUSTER_KILLS ?? 4);
const SEED = Number(process.env.MOORING_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));
const SHAPE = { mqtt: 4, http: 2, amqp: 2, commands: 2, registry: 2, paceMs: 10 };
const REPORTERS = 3;
const LOAD_MS_MIN = 300;
const LOAD_MS_MAX = 1000;
const victims = ['hub', 'database', 'process of the database', 'broker'] as const;

test(`kill -9 of hub, broker and database under load, ${ROUNDS} times: every acknowledged effect is there, once`, {
  skip: missing ?? false,
  timeout: 120_000 + ROUNDS * 60_000,
}, async (t) => {
  t.diagnostic(`MOORING_TEST_SEED=${SEED} MOORING_TEST_CLUSTER_KILLS=${ROUNDS}`);
  const random = seededRandom(SEED);
  await using kafka = await startKafka();
  await using postgres = await startPostgres();
  const args = [
    ...[
      '--storage',
      'cluster',
      '--kafka-brokers',
      kafka.brokers[0],
      '--kafka-replicas',
      '1',
      '--kafka-in-sync-min',
      '1',
    ],
    ...['--partitions', '2', '--mqtt-port', '0'],
  ];
  let hub: TestHub = await startHub({ args, env: { MOORING_POSTGRES_URL: postgres.url } });
  try {
    const load = await MixedLoad.prepare(hub, SHAPE, SEED);
    const reporters = await reportersOf(hub);
    const start = async (mayBreak: boolean): Promise<void> => {
      await load.start(hub, mayBreak);
      await Promise.all(reporters.map((reporter) => reporter.start(hub.endpoints.ports.mqtt as number)));
    };
    const some = (): Promise<void> => sleep(LOAD_MS_MIN + random.next() * (LOAD_MS_MAX - LOAD_MS_MIN));
    const isReady = (): Promise<boolean> =>
      fetch(`http://127.0.0.1:${hub.endpoints.ports.admin}/readyz`).then(({ status }) => status === 200);
    let order: (typeof victims)[number][] = [];
    for (let round = 1; round <= ROUNDS; round++) {
      if (order.length === 0) order = [...victims].sort(() => random.next() - 0.5);
      const victim = order.shift() as (typeof victims)[number];
      await start(true);
      await some();
      if (victim === 'hub') await hub.kill();
      else if (victim === 'broker') await kafka.kill(1);
      else if (victim === 'database') await postgres.kill();
      else assert.ok(await postgres.killBackend(), 'the hub is connected');
      if (victim !== 'hub') await some();
      if (victim === 'broker') await kafka.restart(1);
      if (victim === 'database') await postgres.restart();
      if (victim !== 'hub') await until(`the hub is ready after the ${victim}`, isReady, { withinMs: 60_000 });
      await load.stop(victim === 'hub' ? 'killed' : 'cut');
      await Promise.all(reporters.map((reporter) => reporter.stop()));
      if (victim === 'hub') hub = await hub.restart();
      await load.check(hub, `round ${round}, ${victim}`);
    }
    await start(false);
    await some();
    await load.stop('finish');
    await Promise.all(reporters.map((reporter) => reporter.stop()));
    await load.check(hub, 'the end');
    const reported = reporters.reduce((sum, { acknowledged }) => sum + acknowledged, 0);
    t.diagnostic(
      `acknowledged: ${JSON.stringify(load.counts)}, ${reported} reported; ${load.eventsRead} events read back; lost: 0`,
    );
    const { commandsCompleted, registryWrites, mqttTelemetry } = load.counts;
    assert.ok(Math.min(commandsCompleted, registryWrites, mqttTelemetry, reported) > ROUNDS, 'the load was a load');
  } finally {
    await hub[Symbol.asyncDispose]();
  }
});

async function reportersOf(hub: TestHub): Promise<readonly TwinReporter[]> {
  const api = apiOf(hub);
  const { hostName } = hub.endpoints;
  const reporters: TwinReporter[] = [];
  for (let nth = 0; nth < REPORTERS; nth++) {
    const clientId = `twin-${nth}`;
    const { authentication } = await api.devices.create(clientId, {});
    const password = token(`${hostName}/devices/${clientId}`, String(authentication.symmetricKey?.primaryKey));
    const username = `${hostName}/${clientId}/?api-version=2021-04-12`;
    reporters.push(new TwinReporter({ clientId, username, password, topic: '' }));
  }
  api.close();
  return reporters;
}
