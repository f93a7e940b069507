/**
 * Chaos: three nodes, Kafka and PostgreSQL under load, and one part after the other is killed, held or cut off. What was acknowledged is
 * there, once and in order; each command has one outcome, each identity one holder, a twin's versions ascend, no method comes twice.
 *
 *     MOORING_TEST_CHAOS_ROUNDS=200 scripts/postgres-for-tests.sh npm test -- cluster/chaos
 *
 * MOORING_TEST_SEED repeats the faults of a run (not what the machine makes of them), MOORING_TEST_CHAOS_FOLDER says where the timeline
 * goes (JSON and SVG). With ten rounds and more there are three brokers, and faults last longer than a lease.
 */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { seededRandom } from '../../src/base/random.ts';
import { makeDevice } from '../drivers/cluster.ts';
import type { TestHub } from '../drivers/hub.ts';
import { kafkaMissing } from '../drivers/kafka.ts';
import { postgresMissing } from '../drivers/postgres.ts';
import { until } from '../drivers/until.ts';
import { readToEnd } from '../reliability/event-reader.ts';
import { ChaosActor } from './chaos-actor.ts';
import { ChaosPublisher } from './chaos-publisher.ts';
import { ChaosRig } from './chaos-rig.ts';
import { type ChaosFault, plotOf } from './chaos-timeline.ts';

const missing = kafkaMissing() ?? postgresMissing() ?? (process.platform === 'linux' ? undefined : 'no /proc');
if (missing !== undefined) process.stderr.write(`NOT TESTED: chaos (${missing})\n`);
const ROUNDS = Number(process.env.MOORING_TEST_CHAOS_ROUNDS ?? 3);
const SEED = Number(process.env.MOORING_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));
const IS_LONG = ROUNDS >= 10;
const [NODES, PARTITIONS, PUBLISHERS, ACTORS] = [3, 3, 8, 2];
const IN_FLIGHT = IS_LONG ? 20 : 5;
/** How long a fault lasts; a lease is 10 s. */
const [FAULT_MS_MIN, FAULT_MS_MAX] = IS_LONG ? [500, 13_000] : [500, 3500];
/** A broker that is alone takes all down with it for as long as it needs to start; kafka/cluster-kills tries that. */
const LONG_ONLY: ReadonlySet<string> = new Set(['broker killed', 'PostgreSQL away']);
const DUEL_SHARE = 0.3;
const MOVED_SHARE = 0.4;
/** How long after a fault everything must go on; a lease and the start of a broker are in it. */
const RECOVERY_MS = 60_000;

test(`${ROUNDS} faults of nodes, brokers, database and links under load: nothing acknowledged is lost, twice or out of order`, {
  skip: missing ?? false,
  timeout: 180_000 + ROUNDS * 90_000,
}, async (t) => {
  t.diagnostic(`MOORING_TEST_SEED=${SEED} MOORING_TEST_CHAOS_ROUNDS=${ROUNDS}`);
  const say = (text: string): void => void process.stderr.write(`chaos ${text}\n`);
  const random = seededRandom(SEED);
  const pick = (count: number): number => Math.floor(random.next() * count);
  await using rig = await ChaosRig.start(NODES, IS_LONG ? 3 : 1, PARTITIONS);
  const { hub } = rig;
  const publishers = await Promise.all(
    Array.from({ length: PUBLISHERS }, (_, at) => ChaosPublisher.make(hub, `p${at}`, IN_FLIGHT)),
  );
  const actors = Array.from({ length: ACTORS }, (_, at) => new ChaosActor(`a${at}`, hub));
  for (const { deviceId } of actors) await makeDevice(hub, deviceId);
  const reader = readerOf(hub, new Map(publishers.map((each) => [each.deviceId, each])));
  // Else a round that fails would not end: devices come back for ever.
  t.after(() => Promise.all([...publishers, ...actors, reader].map((each) => each.stop())));
  const running = publishers.map((each) => each.run());
  for (const actor of actors) actor.start();
  await until('every device sends', () => publishers.every(({ acknowledged }) => acknowledged > 0));
  say(`begins: ${JSON.stringify(rig.linkCounts())}, clocks wrong by ${rig.clocksWrongMs.join(', ')} ms`);
  assert.ok(
    rig.clocksWrongMs.slice(1).every((ms) => Math.abs(ms) > 60_000),
    'clocks are wrong from the beginning',
  );
  await until('every link is there', () => Object.values(rig.linkCounts()).every((count) => count > 0));

  const began = performance.now();
  const seconds = (): number => (performance.now() - began) / 1000;
  const total = (): number => publishers.reduce((sum, { acknowledged }) => sum + acknowledged, 0);
  const perSecond: number[] = [];
  let counted = total();
  const ticker = setInterval(() => {
    perSecond.push(total() - counted);
    counted = total();
  }, 1000);
  const faults: ChaosFault[] = [];
  const pauses = new Map<string, number[]>();
  const kinds = Object.entries(rig.faults(pick)).filter(([kind]) => IS_LONG || !LONG_ONLY.has(kind));
  let order: typeof kinds = [];
  try {
    for (let round = 1; round <= ROUNDS; round++) {
      if (order.length === 0) order = shuffled(kinds, pick);
      const [kind, fault] = order.shift() as (typeof kinds)[number];
      // A node that was started again has no devices: some come to it, so that a fault of it is felt.
      const moved = performance.now();
      for (const each of publishers) if (random.next() < MOVED_SHARE) each.cut();
      await until('devices have moved', () => publishers.every((p) => p.lastTime > moved + 50), {
        withinMs: RECOVERY_MS,
      });
      for (const each of publishers) each.longestMs = 0;
      const from = seconds();
      if (random.next() < DUEL_SHARE) void publishers[pick(PUBLISHERS)].duel();
      await fault(FAULT_MS_MIN + random.next() * (FAULT_MS_MAX - FAULT_MS_MIN));
      faults.push({ kind, from, to: seconds() });
      const healed = performance.now();
      const said = (): string => `round ${round}, ${kind}, seed ${SEED}`;
      const within = { withinMs: RECOVERY_MS, everyMs: 50 };
      await until(`${said()}: the nodes are ready`, () => rig.areReady(), within);
      await until(`${said()}: every device goes on`, () => publishers.every((p) => p.lastTime > healed + 200), within);
      await until(`${said()}: each has one holder`, () => publishers.every((p) => p.olderCount === 0), within);
      pauses.set(kind, [...(pauses.get(kind) ?? []), Math.max(...publishers.map(({ longestMs }) => longestMs))]);
      const outOfOrder = publishers.reduce((sum, { found }) => sum + found.reordered, 0);
      const found = outOfOrder === 0 ? '' : `, ${outOfOrder} out of order`;
      say(`${round}/${ROUNDS} ${kind}, ${total()} acknowledged${found}, ${Math.round(seconds())} s`);
      await sleep(300);
    }
  } finally {
    clearInterval(ticker);
    const folder = process.env.MOORING_TEST_CHAOS_FOLDER ?? mkdtempSync(path.join(tmpdir(), 'mooring-chaos-'));
    mkdirSync(folder, { recursive: true });
    const timeline = { seed: SEED, acknowledged: perSecond, faults };
    writeFileSync(path.join(folder, 'timeline.json'), JSON.stringify(timeline));
    writeFileSync(path.join(folder, 'timeline.svg'), plotOf(timeline));
    t.diagnostic(`timeline: ${folder}`);
    await Promise.all([...publishers.map((each) => each.stop()), ...actors.map((each) => each.stopAsking())]);
  }
  await Promise.all(running);
  await until('what the back end was told of has come to the devices', () => actors.every((each) => each.hasAll()), {
    withinMs: 2 * RECOVERY_MS,
  }).catch((error) => {
    throw new Error(`${error.message}: ${actors.map((each) => each.missing()).join(' | ')}`);
  });
  await sleep(500);
  await reader.finish();
  for (const actor of actors) {
    await actor.checkCommands();
    await actor.stop();
  }

  for (const [kind, each] of pauses) {
    const sorted = each.toSorted((a, b) => a - b).map(Math.round);
    t.diagnostic(
      `${kind}: ${each.length} times, longest pause of a device ${sorted[sorted.length >> 1]} ms at the median, ${sorted.at(-1)} at most`,
    );
  }
  const sum = (of: (each: ChaosPublisher) => number): number => publishers.reduce((all, each) => all + of(each), 0);
  const lost = publishers.flatMap((each) => each.lost().map((n) => `${each.deviceId}/${n}`));
  const [reordered, strange] = [sum(({ found }) => found.reordered), sum(({ found }) => found.strange)];
  t.diagnostic(
    `${ROUNDS} rounds, ${total()} acknowledged, ${sum(({ found }) => found.count)} read, ${lost.length} lost, ` +
      `${reordered} reordered or twice, ${sum(({ connects }) => connects)} connects; ` +
      actors.map(({ deviceId, counts }) => `${deviceId} ${JSON.stringify(counts)}`).join(', '),
  );
  assert.deepEqual(lost.slice(0, 10), [], 'acknowledged and lost');
  const outOfOrder = publishers.flatMap(({ found: { faults } }) => faults);
  assert.deepEqual([outOfOrder.slice(0, 20), strange, reader.faults], [[], 0, []]);
  for (const { faults, counts } of actors) {
    assert.deepEqual(faults, []);
    assert.ok(
      Math.min(counts.commands, counts.methods, counts.desired, counts.reported) > ROUNDS,
      'asked all the time',
    );
  }
});

function shuffled<T>(all: readonly T[], pick: (count: number) => number): T[] {
  const rest = [...all];
  return all.map(() => rest.splice(pick(rest.length), 1)[0]);
}

const READ_SILENCE_MS = 10_000;
const READ_PAUSE_MS = 300;

/** Reads all the time, through the balancer; goes on where it was when its connection has ended or is silent. */
function readerOf(hub: Pick<TestHub, 'endpoints'>, devices: ReadonlyMap<string, ChaosPublisher>) {
  const behind = new Map<string, number>();
  const faults: string[] = [];
  const { ports, connectionStrings } = hub.endpoints;
  const place = { port: ports.amqp ?? 0, connectionString: connectionStrings.eventHubsEmulator };
  let isOn = true;
  const pass = async (): Promise<void> => {
    let lastHeard = performance.now();
    let isOver = false;
    const read = readToEnd(place, behind, ({ partition, sequence, deviceId, properties }) => {
      // A connection that was given up may still bring some.
      if (isOver) return;
      lastHeard = performance.now();
      const last = behind.get(partition) ?? -1;
      if (sequence <= last) faults.push(`partition ${partition}: ${sequence} after ${last}`);
      behind.set(partition, sequence);
      devices.get(deviceId)?.take(Number(properties.n));
    });
    const silence = (async () => {
      while (!isOver && performance.now() - lastHeard < READ_SILENCE_MS) await sleep(100);
    })();
    await Promise.race([
      read,
      silence.then(() => {
        throw new Error('the reader heard nothing');
      }),
    ]).finally(() => {
      isOver = true;
      read.catch(() => {});
      silence.catch(() => {});
    });
  };
  const running = (async () => {
    while (isOn) {
      await pass().catch(() => {});
      await sleep(READ_PAUSE_MS);
    }
  })();
  return {
    faults,
    stop(): void {
      isOn = false;
    },
    /** Reads what is there by now. */
    async finish(): Promise<void> {
      isOn = false;
      await running;
      await until(
        'all is read',
        () =>
          pass().then(
            () => true,
            () => false,
          ),
        { withinMs: RECOVERY_MS },
      );
    },
  };
}
