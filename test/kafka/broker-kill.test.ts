/**
 * Three brokers, each record three times, two of them before it is acknowledged: a broker is killed, or hangs, under load. What was
 * acknowledged is there once and in order, nothing is refused, and the log goes on within seconds.
 *
 * More than the usual rounds: MOORING_TEST_BROKER_KILLS=50 npm test -- kafka/broker-kill
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { systemClock } from '../../src/base/clock.ts';
import { silentLog } from '../../src/base/log.ts';
import { put, readAll } from '../../src/stores/contract/event-log.ts';
import { KafkaCluster } from '../../src/stores/kafka/cluster.ts';
import { openKafkaEventLog } from '../../src/stores/kafka/event-log.ts';
import { ensureTopic } from '../../src/stores/kafka/topics.ts';
import { kafkaMissing, startKafka } from '../drivers/kafka.ts';
import { until } from '../drivers/until.ts';

const missing = kafkaMissing();
if (missing !== undefined) process.stderr.write(`NOT TESTED: brokers of Kafka that are killed (${missing})\n`);
const rounds = Number(process.env.MOORING_TEST_BROKER_KILLS ?? 1);
const PARTITIONS = 3;
/** Records of each partition in each turn of a writer, which waits for them before it writes the next. */
const IN_FLIGHT = 20;
const WRITERS = 4;

test('brokers that are killed or hang under load lose nothing, and hold the log up for seconds', {
  skip: missing ?? false,
}, async (t) => {
  await using kafka = await startKafka({ brokers: 3, sessionMs: 3000 });
  const cluster = await KafkaCluster.open({
    brokers: kafka.brokers,
    access: { clientId: 'test', clock: systemClock },
    log: silentLog,
  });
  t.after(() => cluster.close());
  const wish = { name: 'events', partitions: PARTITIONS, retentionMs: 3_600_000, replicas: 3, inSyncMin: 2 };
  await until('the topic can be made', () =>
    ensureTopic(cluster, wish, systemClock).then(
      () => true,
      () => false,
    ),
  );
  await until('every partition has a leader', async () => {
    await cluster.follow('events').catch(() => 0);
    return [...Array(PARTITIONS).keys()].every((partition) => cluster.leaderOf('events', partition) >= 0);
  });
  const parts = {
    cluster,
    topic: 'events',
    name: 'hub',
    partitionCount: PARTITIONS,
    createdTime: 0,
    clock: systemClock,
    log: silentLog,
  };
  const log = await openKafkaEventLog(parts);

  let isOn = true;
  let longestMs = 0;
  let lastTime = performance.now();
  let failed = 0;
  const acknowledged = new Set<string>();
  const writer = async (who: number): Promise<void> => {
    for (let turn = 0; isOn; turn++) {
      const texts: string[] = [];
      for (let n = 0; n < IN_FLIGHT; n++) {
        for (let partition = 0; partition < PARTITIONS; partition++) {
          const text = `${who}/${partition}/${turn * IN_FLIGHT + n}`;
          texts.push(text);
          put(log, partition, text);
        }
      }
      const isDurable = await new Promise<boolean>((resolve) => {
        log.writer.await({ batchDurable: () => resolve(true), batchFailed: () => resolve(false) });
      });
      if (!isDurable) failed++;
      else for (const text of texts) acknowledged.add(text);
      const now = performance.now();
      longestMs = Math.max(longestMs, now - lastTime);
      lastTime = now;
    }
  };
  const writers = Array.from({ length: WRITERS }, (_, who) => writer(who));
  const pauses: number[] = [];
  for (let round = 0; round < rounds; round++) {
    await sleep(500);
    longestMs = 0;
    const victim = cluster.leaderOf('events', round % PARTITIONS);
    const isKilled = round % 3 !== 2;
    if (isKilled) await kafka.kill(victim);
    else kafka.signal(victim, 'SIGSTOP');
    const before = acknowledged.size;
    await until('the log goes on', () => acknowledged.size > before + WRITERS * IN_FLIGHT * PARTITIONS * 5);
    if (isKilled) await kafka.restart(victim);
    else kafka.signal(victim, 'SIGCONT');
    pauses.push(Math.round(longestMs));
    const inSync = async (): Promise<boolean> => {
      const text = await kafka.tool(
        'org.apache.kafka.tools.TopicCommand',
        '--bootstrap-server',
        kafka.brokers[victim % 3],
        '--describe',
        '--under-replicated-partitions',
      );
      return text.trim() === '';
    };
    if (round + 1 < rounds) await until('every replica is in sync again', inSync, { everyMs: 500, withinMs: 60_000 });
  }
  isOn = false;
  await Promise.all(writers);
  t.diagnostic(`${acknowledged.size} acknowledged, pauses ${pauses.join(', ')} ms`);
  assert.equal(failed, 0, 'a broker that dies is waited for');
  for (let partition = 0; partition < PARTITIONS; partition++) {
    const texts = await readAll(log, partition, 0, 1 << 20);
    const next = new Array<number>(WRITERS).fill(0);
    for (const text of texts) {
      const [who, of, n] = text.split('/').map(Number);
      assert.equal(of, partition);
      assert.equal(n, next[who]++, `partition ${partition}: each record once, in order`);
      acknowledged.delete(text);
    }
  }
  assert.deepEqual([...acknowledged].slice(0, 5), [], 'acknowledged and lost');
  await log.close();
});
