/** Events of twins on a real broker, written by one node after the other: each is there once, whatever ends in between and whatever clocks say. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import { silentLog } from '../../src/base/log.ts';
import type { EventLog } from '../../src/core/events/ports.ts';
import { partitionOf } from '../../src/core/events/rules.ts';
import type { IdentityKey } from '../../src/core/identity/types.ts';
import type { TwinStore } from '../../src/core/twins/ports.ts';
import { publishTwinEvents, twinEventSources } from '../../src/core/twins/publishing.ts';
import { readTwinChange } from '../../src/core/twins/rules.ts';
import { kafkaRecordCodec } from '../../src/records/kafka/record-codec.ts';
import { kafkaRecordForm } from '../../src/records/kafka/record-form.ts';
import { twinEventCorrelation } from '../../src/records/record-codec.ts';
import type { PostgresTables } from '../../src/stores/cluster/postgres.ts';
import { exampleIdentity } from '../../src/stores/contract/identities.ts';
import { withPostgres } from '../../src/stores/contract/postgres.ts';
import { KafkaCluster } from '../../src/stores/kafka/cluster.ts';
import { openKafkaEventLog } from '../../src/stores/kafka/event-log.ts';
import { ensureTopic } from '../../src/stores/kafka/topics.ts';
import { kafkaMissing, startKafka, type TestKafka } from '../drivers/kafka.ts';
import { until } from '../drivers/until.ts';

const PARTITIONS = 3;
const DEVICES = 20;
const MINUTE_MS = 60_000;
const missing = kafkaMissing();

/** A topic, and nodes that have a connection to it each. */
async function topicOf(brokers: readonly string[]) {
  const topic = `twins-${randomBytes(6).toString('hex')}`;
  const clusters: KafkaCluster[] = [];
  const access = { clientId: 'test', clock: systemClock };
  const open = async () => {
    const cluster = await KafkaCluster.open({ brokers, access, log: silentLog });
    clusters.push(cluster);
    return cluster;
  };
  const wish = { name: topic, partitions: PARTITIONS, retentionMs: 3_600_000, replicas: 1, inSyncMin: 1 };
  const first = await open();
  await ensureTopic(first, wish, systemClock);
  const isLed = async () =>
    (await first.follow(topic).catch(() => 0)) === PARTITIONS &&
    [0, 1, 2].every((at) => first.leaderOf(topic, at) >= 0);
  await until('the topic is led', isLed);
  const logs: EventLog[] = [];
  return {
    async node(): Promise<EventLog> {
      const log = await openKafkaEventLog({
        ...{
          cluster: await open(),
          topic,
          name: 'hub',
          partitionCount: PARTITIONS,
          createdTime: 0,
          form: kafkaRecordForm(),
        },
        ...{ clock: systemClock, log: silentLog },
      });
      logs.push(log);
      return log;
    },
    async [Symbol.asyncDispose]() {
      for (const log of logs) await (log as EventLog & { close(): Promise<void> }).close();
      for (const cluster of clusters) cluster.close();
    },
  };
}

/** Correlation ids of the events of twins in the log, each of which names one. */
async function told(log: EventLog): Promise<readonly string[]> {
  const ids: string[] = [];
  for (let partition = 0; partition < PARTITIONS; partition++) {
    const { firstSequence, lastSequence } = await log.partition(partition);
    for (let next = firstSequence; next <= lastSequence; ) {
      const runs = await log.read(partition, next, 1e6);
      for (const { bytes, start, count, firstSequence: first } of runs) {
        let at = start;
        for (let record = 0; record < count; record++) {
          const from = at + 4;
          at = from + bytes.readUInt32LE(at);
          ids.push(twinEventCorrelation(bytes, from, at) ?? 'none');
        }
        next = first + count;
      }
      log.giveBack(runs);
    }
  }
  return ids;
}

const publishing = (tables: PostgresTables, eventLog: EventLog, store: Partial<TwinStore> = {}) =>
  publishTwinEvents({
    store: { ...tables.twins, ...store },
    ...{ eventLog, begun: tables.begunTwinEvents, codec: kafkaRecordCodec, partitionOf, hubName: 'hub' },
    ...{ correlationOf: twinEventCorrelation, sources: new Set(twinEventSources) },
    ...{ clock: systemClock, log: silentLog },
  });

if (missing !== undefined) {
  process.stderr.write(`NOT TESTED: events of twins over Kafka (${missing})\n`);
  test('events of twins over Kafka', { skip: missing }, () => {});
} else {
  let kafka: TestKafka;
  before(async () => {
    kafka = await startKafka();
  });
  after(() => kafka?.[Symbol.asyncDispose]());

  withPostgres('events of twins in Kafka', (open) => {
    // The database's clock against the broker's.
    for (const [title, ahead] of [
      ['as its clock says', 0],
      ['where the broker is behind the database by five minutes', 5 * MINUTE_MS],
      ['where the broker is ahead of it by five minutes', -5 * MINUTE_MS],
    ] as const) {
      test(`events that a node had written when it was killed are not written again, ${title}`, async () => {
        await using topic = await topicOf(kafka.brokers);
        const opened = await open();
        try {
          const { tables } = opened;
          const [older, newer] = [await topic.node(), await topic.node()];
          const keys = Array.from({ length: DEVICES }, (_, nth): IdentityKey => ({ deviceId: `d${nth}` }));
          await tables.identities.write(
            keys.map((key) => ({ kind: 'create', identity: exampleIdentity(key), countMax: 100 })),
          );
          const change = async (from: number, to: number) => {
            const patch = readTwinChange(Buffer.from('{"tags":{"a":1}}'), 'merge');
            const terms = { ifMatch: '*', time: Date.now() + ahead, withEvents: true };
            for (const key of keys.slice(from, to)) await tables.twins.change(key, patch, terms);
          };
          await change(0, DEVICES / 2);
          // It is killed behind its write: what it drops never is.
          const killed = publishing(tables, older, { dropEvents: () => new Promise(() => {}) });
          await until('all are written', () => killed.published() === DEVICES / 2);
          await change(DEVICES / 2, DEVICES);
          const next = publishing(tables, newer);
          await next.close();
          assert.equal(next.published(), DEVICES / 2, 'only what was not there yet');
          assert.deepEqual(await tables.twins.events(100), []);
          const ids = await told(newer);
          assert.equal(new Set(ids).size, DEVICES, 'none is missing');
          assert.equal(ids.length, DEVICES, 'none is there twice');
        } finally {
          await opened.close();
        }
      });
    }
  });
}
