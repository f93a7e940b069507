/** The contract of the event log over a real broker of Kafka, and what only Kafka can do to it. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { systemClock } from '../../src/base/clock.ts';
import { silentLog } from '../../src/base/log.ts';
import { append, eventLogContract, readAll, textsOf } from '../../src/stores/contract/event-log.ts';
import { KafkaCluster } from '../../src/stores/kafka/cluster.ts';
import { type KafkaEventLog, type KafkaEventLogOptions, openKafkaEventLog } from '../../src/stores/kafka/event-log.ts';
import { ensureTopic, wrongSettings } from '../../src/stores/kafka/topics.ts';
import { apis } from '../../src/wire/kafka/apis.ts';
import { crc32c } from '../../src/wire/kafka/crc32c.ts';
import { BATCH_HEAD_BYTES, sealBatch, writeRecordHead } from '../../src/wire/kafka/record-batch.ts';
import { produceRequest, readProduceAnswers } from '../../src/wire/kafka/records-requests.ts';
import { kafkaMissing, startKafka, type TestKafka } from '../drivers/kafka.ts';
import { until } from '../drivers/until.ts';

const missing = kafkaMissing();
let kafka: TestKafka;
let cluster: KafkaCluster;
const openCluster = (): Promise<KafkaCluster> =>
  KafkaCluster.open({ brokers: kafka.brokers, access: { clientId: 'test', clock: systemClock }, log: silentLog });
const wishOf = (name: string, partitions = 3) => ({
  name,
  partitions,
  retentionMs: 3_600_000,
  replicas: 1,
  inSyncMin: 1,
});
const freshTopic = async (): Promise<string> => {
  const topic = `events-${randomBytes(6).toString('hex')}`;
  await ensureTopic(cluster, wishOf(topic), systemClock);
  // A leader that is new takes nothing for some tenths of a second.
  await until(
    'the topic is led',
    async () =>
      (await cluster.follow(topic).catch(() => 0)) === 3 && [0, 1, 2].every((at) => cluster.leaderOf(topic, at) >= 0),
  );
  return topic;
};
const openLog = (
  topic: string,
  of = cluster,
  lease: Pick<KafkaEventLogOptions, 'mayAppend' | 'leaseTerm'> = {},
): Promise<KafkaEventLog> =>
  openKafkaEventLog({
    ...lease,
    cluster: of,
    topic,
    name: 'hub',
    partitionCount: 3,
    createdTime: Date.UTC(2026, 0, 1),
    clock: systemClock,
    log: silentLog,
  });

if (missing !== undefined) {
  process.stderr.write(`NOT TESTED: the event log over Kafka (${missing})\n`);
  test('the event log over Kafka', { skip: missing }, () => {});
} else {
  before(async () => {
    kafka = await startKafka();
    cluster = await openCluster();
  });
  after(async () => {
    cluster?.close();
    await kafka?.[Symbol.asyncDispose]();
  });

  eventLogContract({
    name: 'kafka',
    hasOwnTime: true,
    async open() {
      const log = await openLog(await freshTopic());
      return { log, retain: async () => {}, close: () => log.close() };
    },
  });

  /** One record each of the value `value`, in one batch, as another program writes it: with the time of its own. */
  function foreignBatch(values: readonly string[], compress?: (bytes: Buffer) => Buffer): Buffer {
    const batch = Buffer.alloc(4096);
    let end = BATCH_HEAD_BYTES;
    for (const [nth, value] of values.entries()) {
      const content = Buffer.concat([Buffer.from([1, 2 * value.length]), Buffer.from(value), Buffer.from([0])]);
      end = writeRecordHead(batch, end, nth, content.length);
      end += content.copy(batch, end);
    }
    sealBatch(batch, end, values.length, { id: -1n, epoch: -1, sequence: -1 }, Date.now());
    if (compress === undefined) return batch.subarray(0, end);
    const squeezed = compress(batch.subarray(BATCH_HEAD_BYTES, end));
    const whole = Buffer.concat([batch.subarray(0, BATCH_HEAD_BYTES), squeezed]);
    whole.writeInt32BE(whole.length - 12, 8);
    whole.writeInt16BE(1, 21);
    whole.writeUInt32BE(crc32c(whole, 21), 17);
    return whole;
  }

  async function writeForeign(topic: string, batch: Buffer): Promise<void> {
    const connection = await cluster.leaderConnection(topic, 0, 'write');
    const request = produceRequest(topic, [{ partition: 0, batch: [batch], bytes: batch.length }], 5000);
    const [answer] = readProduceAnswers(await connection.request(apis.produce, request, 5000));
    assert.equal(answer.error, 0, answer.message);
  }

  test('kafka: a second node reads what the first wrote, is told of it, and goes on behind it', async () => {
    const topic = await freshTopic();
    const first = await openLog(topic);
    const begun = Date.now();
    await append(first, 0, ['a', 'b']);
    const other = await openCluster();
    const second = await openLog(topic, other);
    assert.deepEqual(await readAll(second, 0), ['a', 'b']);
    const { lastTime, ...rest } = await second.partition(0);
    assert.deepEqual(rest, { partition: 0, firstSequence: 0, lastSequence: 1 });
    assert.ok(Math.abs(lastTime - begun) < 20_000);
    let isTold = false;
    const stop = second.watch(0, () => {
      isTold = true;
    });
    await append(first, 0, ['c']);
    await until('the second node is told', () => isTold);
    assert.deepEqual(await readAll(second, 0, 2), ['c']);
    stop();
    await append(second, 0, ['d']);
    await until('the first node hears of it', async () => (await first.partition(0)).lastSequence === 3);
    assert.deepEqual(await readAll(first, 0), ['a', 'b', 'c', 'd']);
    await second.close();
    other.close();
    await first.close();
  });

  test('kafka: batches of which a later one fails first are followed by others', async () => {
    let mayAppend = true;
    const topic = await freshTopic();
    const log = await openKafkaEventLog({
      ...{ cluster, topic, name: 'hub', partitionCount: 3, createdTime: 0, clock: systemClock, log: silentLog },
      mayAppend: () => mayAppend,
    });
    await append(log, 0, ['before']);
    kafka.signal(1, 'SIGSTOP');
    const ends: Promise<string>[] = [];
    const began = async (partition: number, text: string): Promise<void> => {
      ends.push(
        append(log, partition, [text])
          .then(() => 'durable')
          .catch(() => 'failed'),
      );
      await new Promise(setImmediate);
    };
    // Each is a batch of its own: what is given up is told by partition, the second one first.
    await began(1, 'first');
    await began(0, 'x'.repeat(300_000));
    mayAppend = false;
    await began(2, 'x'.repeat(300_000));
    assert.deepEqual(await Promise.all(ends), ['failed', 'failed', 'failed']);
    mayAppend = true;
    kafka.signal(1, 'SIGCONT');
    await until('the log takes records again', async () => log.health().ok);
    await append(log, 0, ['after']);
    await log.close();
  });

  test('kafka: what waits behind a broker that hangs is not appended under the next lease of its node', async () => {
    const topic = await freshTopic();
    let leaseTerm = 'first';
    const log = await openLog(topic, cluster, { leaseTerm: () => leaseTerm });
    await append(log, 0, ['before']);
    kafka.signal(1, 'SIGSTOP');
    const ends: Promise<string>[] = [];
    // More than may be under way: the last ones have not left this process.
    for (let at = 0; at < 12; at++) {
      const end = append(log, 0, [`${at} ${'x'.repeat(300_000)}`]);
      ends.push(end.then(() => 'durable').catch(() => 'failed'));
      await new Promise(setImmediate);
    }
    leaseTerm = 'second';
    kafka.signal(1, 'SIGCONT');
    const told = await Promise.all(ends);
    assert.ok(!told.includes('durable'), told.join());
    await until('the log takes records again', async () => log.health().ok);
    await append(log, 0, ['after']);
    const found = (await readAll(log, 0)).map((text) => text.slice(0, 6).trim());
    assert.deepEqual([found[0], found.at(-1)], ['before', 'after']);
    // What was on its way may have come: none of what had waited for a place has.
    assert.ok(found.length <= 2 + 5, found.join());
    await log.close();
  });

  test('kafka: a reader begins at a time, which is the broker’s', async () => {
    const log = await openLog(await freshTopic());
    await append(log, 0, ['a', 'b']);
    const between = log.lastKnown(0).lastTime;
    await until('the clock has gone on', () => Date.now() > between + 2);
    await append(log, 0, ['c']);
    const last = log.lastKnown(0).lastTime;
    assert.ok(last > between);
    const seek = (time: number, inclusive: boolean) => log.seek(0, { kind: 'time', time, inclusive });
    assert.deepEqual(
      await Promise.all([
        seek(0, true),
        seek(between, true),
        seek(between, false),
        seek(last, true),
        seek(last, false),
      ]),
      [0, 0, 2, 2, 3],
    );
    const times = (await log.read(0, 0, 10_000)).flatMap((run) => new Array<number>(run.count).fill(run.time));
    assert.deepEqual(times, [between, between, last]);
    await log.close();
  });

  test('kafka: what retention has removed is left out', async () => {
    const topic = await freshTopic();
    const log = await openLog(topic);
    await append(log, 0, ['a', 'b', 'c']);
    const file = path.join(mkdtempSync(path.join(tmpdir(), 'mooring-offsets-')), 'offsets.json');
    writeFileSync(file, JSON.stringify({ version: 1, partitions: [{ topic, partition: 0, offset: 2 }] }));
    await kafka.tool(
      'org.apache.kafka.tools.DeleteRecordsCommand',
      ...['--bootstrap-server', kafka.brokers[0], '--offset-json-file', file],
    );
    rmSync(path.dirname(file), { recursive: true });
    const other = await openLog(topic);
    const [run] = await other.read(0, 0, 1000);
    assert.deepEqual([run.firstSequence, textsOf(run)], [2, ['c']]);
    assert.equal((await other.partition(0)).firstSequence, 2);
    assert.equal(await other.seek(0, { kind: 'start' }), 2);
    await other.close();
    await log.close();
  });

  test('kafka: events of another program are read, compressed ones too; what cannot be read is left out', async () => {
    const topic = await freshTopic();
    const log = await openLog(topic);
    await writeForeign(topic, foreignBatch(['plain', 'too']));
    await writeForeign(topic, foreignBatch(['squeezed', 'as well'], gzipSync));
    await append(log, 0, ['own']);
    assert.deepEqual(await readAll(log, 0), ['plain', 'too', 'squeezed', 'as well', 'own']);
    await log.close();
  });

  test("kafka: what Kafka's own console producer writes is read in each of its compressions", async () => {
    const topic = await freshTopic();
    const lines = (codec: string): string[] =>
      Array.from(
        { length: 300 },
        (_, nth) => `${codec} ${nth} ${'temperature 21.5, '.repeat(nth % 40)}${Math.sqrt(nth)}`,
      );
    const codecs = ['gzip', 'snappy', 'lz4', 'zstd'];
    await Promise.all(
      codecs.map((codec) =>
        kafka.produce(topic, lines(codec), ['--compression-codec', codec, '--max-partition-memory-bytes', '200000']),
      ),
    );
    const log = await openLog(topic);
    const found = (await Promise.all([0, 1, 2].map((partition) => readAll(log, partition)))).flat();
    assert.equal(found.length, 4 * 300);
    for (const codec of codecs) {
      const own = found.filter((text) => text.startsWith(`${codec} `));
      const byNumber = (text: string): number => Number(text.split(' ')[1]);
      assert.deepEqual(
        own.toSorted((a, b) => byNumber(a) - byNumber(b)),
        lines(codec),
        codec,
      );
    }
    await log.close();
  });

  test('kafka: a topic that would lose what was acknowledged is refused, with what to set', async () => {
    const topic = await freshTopic();
    await ensureTopic(cluster, wishOf(topic), systemClock);
    await assert.rejects(
      ensureTopic(cluster, { ...wishOf(topic), inSyncMin: 2 }, systemClock),
      /Set min\.insync\.replicas=2 /,
    );
    const compacted = wrongSettings({ 'cleanup.policy': 'compact', 'max.message.bytes': '1048588' }, wishOf(topic));
    assert.deepEqual(compacted, [
      'cleanup.policy=delete',
      'compression.type=producer',
      'max.message.bytes=4194304',
      'message.timestamp.type=LogAppendTime',
      'min.insync.replicas=1',
      'unclean.leader.election.enable=false',
    ]);
    await assert.rejects(
      openKafkaEventLog({
        cluster,
        topic,
        name: 'hub',
        partitionCount: 4,
        createdTime: 0,
        clock: systemClock,
        log: silentLog,
      }),
      /has 3 partitions, and the hub 4/,
    );
  });
}
