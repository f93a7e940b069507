/** Endpoints of the kind `kafka`, over a real broker: what Kafka's own consumer reads of it. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import { silentLog } from '../../src/base/log.ts';
import type { KafkaEndpoint } from '../../src/core/routes/endpoints/kafka.ts';
import type { RoutedEvent } from '../../src/core/routes/ports.ts';
import { recordCodec } from '../../src/records/record-codec.ts';
import { KafkaCluster } from '../../src/stores/kafka/cluster.ts';
import { kafkaSink } from '../../src/stores/kafka/endpoint-sink.ts';
import { kafkaMissing, startKafka, type TestKafka } from '../drivers/kafka.ts';
import { until } from '../drivers/until.ts';

const missing = kafkaMissing();
let kafka: TestKafka;
const TOPIC = 'away';

before(async () => {
  if (missing !== undefined) return;
  kafka = await startKafka();
  const cluster = await KafkaCluster.open({
    ...{ brokers: kafka.brokers, access: { clientId: 'test', clock: systemClock }, log: silentLog },
  });
  // Not one of the hub's: what an operator has made, which takes no large records.
  await kafka.tool(
    'org.apache.kafka.tools.TopicCommand',
    ...['--bootstrap-server', kafka.brokers[0], '--create', '--topic', TOPIC, '--partitions', '3'],
    ...['--config', 'max.message.bytes=100000'],
  );
  await until(
    'the topic is led',
    async () =>
      (await cluster.follow(TOPIC).catch(() => 0)) === 3 && [0, 1, 2].every((at) => cluster.leaderOf(TOPIC, at) >= 0),
  );
  cluster.close();
});

after(async () => {
  if (missing === undefined) await kafka[Symbol.asyncDispose]();
});

const endpointOf = (brokers: readonly string[]): KafkaEndpoint => ({
  ...{ kind: 'kafka', name: 'k', brokers, topic: TOPIC, tls: false, mechanism: 'none' },
});

function event(sequence: number, deviceId: string, body: string): RoutedEvent {
  const stamp = { deviceId, generationId: 'g', authMethod: '{}', source: 'Telemetry' };
  const telemetry = {
    system: { messageId: `m${sequence}` },
    properties: [['a', 'b']] as const,
    body: Buffer.from(body),
  };
  const bytes = recordCodec.encode(stamp, telemetry, 1_800_000_000_000, 0x10001);
  const place = { bytes, start: 0, end: bytes.length, isShown: false, slots: 1 };
  return { sequence, time: 1_800_000_000_001, ...place, enrichments: [['site', 'north']] };
}

const deliver = (sink: ReturnType<typeof kafkaSink>, events: readonly RoutedEvent[]) =>
  sink.deliver({ partition: 0, events }, new AbortController().signal);

test('events of a device stand in one partition in order, with properties and enrichments as headers', {
  skip: missing,
}, async () => {
  const sink = kafkaSink(endpointOf(kafka.brokers), { clock: systemClock, log: silentLog });
  const events = Array.from({ length: 60 }, (_, at) => event(at, `d${at % 3}`, `${at}`));
  assert.deepEqual(await deliver(sink, events.slice(0, 30)), { kind: 'done', count: 30 });
  assert.deepEqual(await deliver(sink, events.slice(30)), { kind: 'done', count: 30 });
  const large = event(60, 'd0', 'x'.repeat(2 ** 21));
  const one = await deliver(sink, [large]);
  assert.equal(one.kind, 'refused');
  // What stands before it is delivered, and what stands behind it comes again.
  const mixed = await deliver(sink, [event(61, 'd0', 'before'), large, event(62, 'd0', 'behind')]);
  assert.ok(mixed.kind === 'done' && mixed.count === 1, JSON.stringify(mixed));
  await sink.close();
  const text = await kafka.tool(
    'org.apache.kafka.tools.consumer.ConsoleConsumer',
    ...['--bootstrap-server', kafka.brokers[0], '--topic', TOPIC, '--from-beginning', '--max-messages', '61'],
    ...['--timeout-ms', '20000', '--property', 'print.key=true', '--property', 'print.headers=true'],
    ...['--property', 'print.partition=true'],
  );
  const lines = text.split('\n').filter((line) => line.startsWith('Partition:'));
  assert.equal(lines.length, 61);
  for (const deviceId of ['d0', 'd1', 'd2']) {
    const own = lines.map((line) => line.split('\t')).filter((parts) => parts.at(-2) === deviceId);
    assert.equal(new Set(own.map(([partition]) => partition)).size, 1);
    const bodies = own.map((parts) => parts.at(-1)).filter((body) => body !== 'before');
    assert.deepEqual(
      bodies,
      events
        .map((_, at) => at)
        .filter((at) => `d${at % 3}` === deviceId)
        .map(String),
    );
    for (const parts of own) {
      assert.match(parts.join('\t'), /a:b,site:north/);
      assert.ok(!parts.join('\t').includes('x-opt-mooring-route'), 'where it goes is not told outside');
    }
  }
});

test('a broker that cannot be reached is tried again, with the reason', async () => {
  const sink = kafkaSink(endpointOf(['127.0.0.1:1']), { clock: systemClock, log: silentLog });
  const answer = await deliver(sink, [event(1, 'd', 'x')]);
  assert.ok(answer.kind === 'retry' && /no broker of Kafka can be reached/.test(answer.reason), JSON.stringify(answer));
  await sink.close();
});
