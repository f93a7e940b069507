/** Against a real broker of Apache Kafka, and against servers that are none. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net, { type AddressInfo } from 'node:net';
import { test } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import { type BrokerAccess, BrokerConnection, BrokerGone } from '../../src/stores/kafka/broker-connection.ts';
import { saslMechanisms } from '../../src/stores/kafka/sasl.ts';
import { apis } from '../../src/wire/kafka/apis.ts';
import {
  createTopicsRequest,
  describeTopicsRequest,
  initProducerIdRequest,
  metadataRequest,
  readCreatedTopics,
  readMetadata,
  readProducerId,
  readTopicSettings,
} from '../../src/wire/kafka/cluster-requests.ts';
import {
  BATCH_HEAD_BYTES,
  RecordCursor,
  readBatchHead,
  sealBatch,
  writeRecordHead,
} from '../../src/wire/kafka/record-batch.ts';
import {
  fetchRequest,
  listOffsetsRequest,
  offsetOf,
  produceRequest,
  readFetched,
  readListedOffsets,
  readProduceAnswers,
} from '../../src/wire/kafka/records-requests.ts';
import { kafkaMissing, startKafka } from '../drivers/kafka.ts';
import { loopbackCertificate } from '../drivers/object-certificate.ts';
import { until } from '../drivers/until.ts';

const access: BrokerAccess = { clientId: 'test', clock: systemClock };
const missing = kafkaMissing();
if (missing !== undefined) process.stderr.write(`NOT TESTED: Kafka (${missing})\n`);

const placeOf = (address: string): [string, number] => [address.split(':')[0], Number(address.split(':')[1])];

/** A topic of one partition, once its leader takes records. */
async function newTopic(connection: BrokerConnection, name: string): Promise<void> {
  const settings = { 'message.timestamp.type': 'LogAppendTime', 'max.message.bytes': '4194304' };
  const request = createTopicsRequest([{ name, partitions: 1, replicas: -1, settings }], 10_000);
  const [created] = readCreatedTopics(await connection.request(apis.createTopics, [request], 10_000));
  assert.deepEqual([created.name, created.error], [name, 0], created.message);
  await until('the topic has a leader', async () => {
    const facts = readMetadata(await connection.request(apis.metadata, [metadataRequest([name])]));
    return facts.topics[0].error === 0 && facts.topics[0].partitions[0]?.leader >= 0;
  });
}

async function producerOf(connection: BrokerConnection): Promise<bigint> {
  let id = -1n;
  await until('the broker gives producer ids', async () => {
    const answer = readProducerId(await connection.request(apis.initProducerId, [initProducerIdRequest()]));
    id = answer.id;
    return answer.error === 0;
  });
  return id;
}

/** A record with this value and neither key nor headers, as a batch of its own. */
function batchWith(value: string, producer: bigint, sequence: number): Buffer {
  const content = Buffer.concat([Buffer.from([1, 2 * value.length]), Buffer.from(value), Buffer.from([0])]);
  const batch = Buffer.alloc(BATCH_HEAD_BYTES + 12 + content.length);
  const end = writeRecordHead(batch, BATCH_HEAD_BYTES, 0, content.length) + content.length;
  content.copy(batch, end - content.length);
  sealBatch(batch, end, 1, { id: producer, epoch: 0, sequence }, Date.now());
  return batch.subarray(0, end);
}

async function append(connection: BrokerConnection, topic: string, batch: Buffer) {
  let answer = { error: 6, firstOffset: -1, time: -1 };
  // A leader that is new says for some tenths of a second that it is none.
  await until('the leader takes records', async () => {
    const request = produceRequest(topic, [{ partition: 0, batch: [batch], bytes: batch.length }], 5000);
    [answer] = readProduceAnswers(await connection.request(apis.produce, request, 5000));
    return answer.error !== 6 && answer.error !== 3;
  });
  return answer;
}

test('a broker takes batches, and gives them back byte by byte but for its own fields', {
  skip: missing ?? false,
}, async (t) => {
  await using kafka = await startKafka();
  const connection = await BrokerConnection.open(...placeOf(kafka.brokers[0]), access);
  t.after(() => connection.close());
  await newTopic(connection, 'events');
  const producer = await producerOf(connection);
  const before = Date.now();
  const batches = ['one', 'two', 'three'].map((value, nth) => batchWith(value, producer, nth));
  for (const [nth, batch] of batches.entries()) {
    const answer = await append(connection, 'events', batch);
    assert.deepEqual([answer.error, answer.firstOffset], [0, nth]);
    assert.ok(answer.time >= before - 1000 && answer.time <= Date.now() + 1000, 'the broker says when');
  }
  const again = await append(connection, 'events', batches[2]);
  assert.deepEqual([again.error, again.firstOffset], [0, 2], 'sent again it is the same one');

  const place = { partition: 0, offset: 1, bytesMax: 1 << 20 };
  const fetch = fetchRequest('events', [place], { waitMs: 0, bytesMin: 1, bytesMax: 1 << 20 });
  const { error, partitions } = readFetched(await connection.request(apis.fetch, [fetch]));
  assert.equal(error, 0);
  assert.deepEqual([partitions[0].error, partitions[0].highWatermark, partitions[0].logStart], [0, 3, 0]);
  const { records } = partitions[0];
  const found: [number, string][] = [];
  const cursor = new RecordCursor();
  for (
    let head = readBatchHead(records, 0, records.length);
    head !== undefined;
    head = readBatchHead(records, head.end, records.length)
  ) {
    assert.ok(head.isBrokerTime && !head.isControl && head.compression === 0);
    cursor.open(records, head.start, head.end, head.count);
    while (cursor.next())
      found.push([head.firstOffset + cursor.offsetDelta, records.toString('utf8', cursor.valueStart, cursor.valueEnd)]);
  }
  assert.deepEqual(found, [
    [1, 'two'],
    [2, 'three'],
  ]);

  const times = [offsetOf.start, offsetOf.end, before, Date.now() + 60_000];
  const listed = await Promise.all(
    times.map(async (time) => {
      const request = listOffsetsRequest('events', [{ partition: 0, time }]);
      return readListedOffsets(await connection.request(apis.listOffsets, [request]))[0].offset;
    }),
  );
  assert.deepEqual(listed, [0, 3, 0, -1]);

  const asked = describeTopicsRequest(['events', 'none'], ['message.timestamp.type', 'min.insync.replicas']);
  const [events, none] = readTopicSettings(await connection.request(apis.describeConfigs, [asked]));
  assert.deepEqual(events.settings, { 'message.timestamp.type': 'LogAppendTime', 'min.insync.replicas': '1' });
  assert.equal(none.error, 3);

  const consumed = await kafka.tool(
    'org.apache.kafka.tools.consumer.ConsoleConsumer',
    ...['--bootstrap-server', kafka.brokers[0], '--topic', 'events', '--from-beginning'],
    ...['--max-messages', '3', '--timeout-ms', '20000'],
  );
  assert.deepEqual(consumed.trim().split('\n'), ['one', 'two', 'three'], "Kafka's own consumer reads them");

  const refused = assert.rejects(
    connection.request(
      apis.fetch,
      [fetchRequest('events', [{ ...place, offset: 3 }], { waitMs: 30_000, bytesMin: 1, bytesMax: 1 << 20 })],
      30_000,
    ),
    BrokerGone,
  );
  await kafka.kill(1);
  await refused;
  assert.ok(connection.isGone);
  await assert.rejects(connection.request(apis.metadata, [metadataRequest([])]), BrokerGone);
});

test('a login over TLS, by every mechanism; a wrong password or authority is said', {
  skip: missing ?? false,
}, async () => {
  const certificate = await loopbackCertificate();
  const user = 'mooring';
  const password = 'pass=word-of-the-hub';
  await using kafka = await startKafka({ secured: { user, password, certificate } });
  const place = placeOf(kafka.securedBrokers[0]);
  const tls = { ca: certificate.authority };
  for (const mechanism of saslMechanisms) {
    const connection = await BrokerConnection.open(...place, { ...access, tls, login: { mechanism, user, password } });
    const facts = readMetadata(await connection.request(apis.metadata, [metadataRequest([])]));
    assert.equal(facts.brokers.length, 1, mechanism);
    connection.close();
    const login = { mechanism, user, password: 'wrong-one' };
    await assert.rejects(BrokerConnection.open(...place, { ...access, tls, login }), (error: Error) => {
      assert.match(error.message, /refuses the login of mooring/);
      assert.doesNotMatch(error.message, /wrong-one/);
      return true;
    });
  }
  const login = { mechanism: 'PLAIN', user, password } as const;
  await assert.rejects(BrokerConnection.open(...place, { ...access, tls: {}, login }), /certificate/);
});

/** A server that answers what comes with `bytes`. */
async function foreign(bytes: Buffer): Promise<net.Server> {
  const server = net.createServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', () => socket.write(bytes));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

test('what is no broker is refused: a length out of bounds, an answer of no request, noise', async (t) => {
  const answers = [
    Buffer.from([0x7f, 0xff, 0xff, 0xff, 0, 0]),
    Buffer.from([0xff, 0xff, 0xff, 0xff, 0, 0]),
    Buffer.from([0, 0, 0, 8, 0, 0, 0, 99, 0, 0, 0, 0]),
    Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'),
    Buffer.from([0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff]),
  ];
  for (const bytes of answers) {
    const server = await foreign(bytes);
    t.after(() => server.close());
    const { port } = server.address() as AddressInfo;
    await assert.rejects(BrokerConnection.open('127.0.0.1', port, access), /cannot be used/);
  }
});
