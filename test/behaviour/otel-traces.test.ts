/** Traces by OpenTelemetry: a real collector sees what became of messages and commands. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { IPublishPacket } from 'mqtt-packet';
import { limits } from '../../src/base/limits.ts';
import { apiOf } from '../drivers/api.ts';
import { type CollectedSpan, Collector } from '../drivers/collector.ts';
import { runMooring, startHub, type TestHub } from '../drivers/hub.ts';
import { devicePlace, MonitoringReader, withDevice } from '../drivers/monitoring.ts';
import { MqttDriver } from '../drivers/mqtt.ts';

const traceId = '0af7651916cd43dd8448eb211c80319c';
const parentSpanId = 'b7ad6b7169203331';
const traceparent = `00-${traceId}-${parentSpanId}-01`;

const topicOf = (deviceId: string, bag = ''): string => `devices/${deviceId}/messages/events/${bag}`;

async function connected(hub: TestHub, deviceId: string): Promise<MqttDriver> {
  const device = await withDevice(hub, deviceId);
  const { client, returnCode } = await MqttDriver.connect(devicePlace(hub), await device.connect());
  assert.equal(returnCode, 0);
  return client;
}

async function send(client: MqttDriver, topic: string, payload = '1'): Promise<void> {
  client.publish({ topic, payload, qos: 1, messageId: 7 });
  await client.next('puback');
}

const ofTrace = (spans: readonly CollectedSpan[], id: string): readonly CollectedSpan[] =>
  spans.filter((span) => span.traceId === id);
const byName = (spans: readonly CollectedSpan[], name: string): CollectedSpan => {
  const found = spans.filter((span) => span.name === name);
  assert.equal(found.length, 1, `one span ${name} among ${spans.map((span) => span.name)}`);
  return found[0];
};

for (const threads of ['1', '2']) {
  test(`a message of a device by MQTT, read by AMQP, is one trace (threads: ${threads})`, async () => {
    await using collector = await Collector.open();
    await using hub = await startHub({
      args: ['--trace-devices', 'traced-1', '--threads', threads, '--hub-name', 'north', '--mqtt-port', '0'],
      env: { MOORING_OTLP_ENDPOINT: collector.endpoint },
    });
    await using monitoring = await MonitoringReader.open(hub);
    await using telemetry = await MonitoringReader.open(hub, 'telemetry');
    const traced = await connected(hub, 'traced-1');
    const plain = await connected(hub, 'plain-1');
    await send(plain, topicOf('plain-1', '%24.mid=p-1'));
    await send(traced, topicOf('traced-1', '%24.mid=m-1'));
    await send(traced, topicOf('traced-1', `%24.mid=m-2&traceparent=${traceparent}`));
    await send(
      traced,
      topicOf('traced-1', `%24.mid=m-3&%24.diagid=${traceparent.replace(parentSpanId, 'c'.repeat(16))}`),
    );
    for (let at = 0; at < 4; at++) await telemetry.nextMessage(() => true);
    // Of three messages: the whole and four steps of each.
    const spans = await collector.until('every span of three messages', (all) => all.length >= 15);
    assert.deepEqual(collector.faults, []);
    assert.equal(spans.length, 15);
    assert.equal(new Set(spans.map(({ spanId }) => spanId)).size, 15);

    const connection = monitoring.all().find(({ type, deviceId }) => type === 'connected' && deviceId === 'traced-1');
    const first = spans.find((span) => span.name === 'telemetry' && span.attributes['messaging.message.id'] === 'm-1');
    assert.ok(first !== undefined);
    const own = ofTrace(spans, first.traceId);
    assert.equal(own.length, 5);
    const [received, authorised, stored, delivered] = ['received', 'authorised', 'stored', 'delivered'].map((name) =>
      byName(own, name),
    );
    assert.equal(first.parentSpanId, '');
    for (const step of [received, authorised, stored, delivered]) assert.equal(step.parentSpanId, first.spanId);
    assert.deepEqual([first.kind, received.kind, first.status], [2, 1, 0]);
    const { attributes } = first;
    assert.deepEqual(
      {
        device: attributes['mooring.device.id'],
        protocol: attributes['network.protocol.name'],
        credential: attributes['mooring.credential'],
        connection: attributes['mooring.correlation_id'],
        peer: attributes['client.address'],
        partition: attributes['messaging.destination.partition.id'],
        sequence: attributes['mooring.sequence_number'],
      },
      {
        device: 'traced-1',
        protocol: 'mqtt',
        credential: 'sas',
        connection: connection?.correlationId,
        peer: '127.0.0.1',
        partition: stored.attributes['messaging.destination.partition.id'],
        sequence: stored.attributes['mooring.sequence_number'],
      },
    );
    assert.deepEqual([first.start, first.end], [received.start, stored.end]);
    assert.deepEqual([stored.start, authorised.attributes['mooring.operation']], [received.end, 'telemetry.send']);
    assert.equal(delivered.attributes['messaging.consumer.group.name'], '$Default');
    assert.equal(delivered.attributes['mooring.sequence_number'], stored.attributes['mooring.sequence_number']);
    for (const span of spans) assert.ok(span.start <= span.end && Math.abs(span.end - Date.now()) < 60_000);
    assert.equal(first.resource['service.name'], 'mooring');
    assert.equal(first.resource['mooring.hub.name'], 'north');
    // The id that `mooring trace` knows leads from a trace to the passport.
    const shown = await runMooring(['trace', String(attributes['mooring.trace_id']), '--data-dir', hub.dataDir]);
    assert.match(shown.stdout, /stored partition=/);

    // The two others join the trace that their sender has begun.
    const joined = ofTrace(spans, traceId);
    assert.equal(joined.length, 10);
    const wholes = joined.filter(({ name }) => name === 'telemetry');
    assert.deepEqual(wholes.map((span) => [span.attributes['messaging.message.id'], span.parentSpanId]).sort(), [
      ['m-2', parentSpanId],
      ['m-3', 'c'.repeat(16)],
    ]);
    await traced.disconnect();
    await plain.disconnect();
  });
}

test('a message that is refused is a trace with an error; what is read after a restart belongs to its trace', async () => {
  await using collector = await Collector.open();
  const args = ['--trace-sample', '1', '--telemetry-bytes-max', '1KiB', '--mqtt-port', '0'];
  const env = { OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint };
  const first = await startHub({ args, env });
  const client = await connected(first, 'big-1');
  await send(client, topicOf('big-1', `%24.mid=small&traceparent=${traceparent}`));
  client.publish({ topic: topicOf('big-1', '%24.mid=large'), payload: 'x'.repeat(2000), qos: 1, messageId: 8 });
  await client.closed;
  await collector.until('both traces', (all) => all.filter(({ name }) => name === 'telemetry').length === 2);
  const refused = collector.spans.find((span) => span.name === 'refused');
  assert.deepEqual([refused?.status, refused?.attributes['error.type']], [2, 'MessageTooLarge']);
  const whole = collector.spans.find((span) => span.name === 'telemetry' && span.traceId === refused?.traceId);
  assert.deepEqual([whole?.status, whole?.attributes['messaging.message.id']], [2, 'large']);
  const stored = byName(ofTrace(collector.spans, traceId), 'telemetry');
  await first.stop();

  await using again = await first.restart();
  await using telemetry = await MonitoringReader.open(again, 'telemetry');
  await telemetry.nextMessage(() => true);
  await collector.until('the delivery', (all) => ofTrace(all, traceId).some(({ name }) => name === 'delivered'));
  const delivered = byName(ofTrace(collector.spans, traceId), 'delivered');
  assert.equal(delivered.parentSpanId, stored.spanId);
  assert.deepEqual(collector.faults, []);
  await first[Symbol.asyncDispose]();
});

test('commands from the back end to their receipts are traces, and so are those that are refused', async () => {
  await using collector = await Collector.open();
  await using hub = await startHub({ args: ['--otlp-endpoint', collector.endpoint, '--mqtt-port', '0'] });
  const api = apiOf(hub);
  const ids = ['ordered-1', 'ordered-2'];
  const clients = await Promise.all(ids.map((id) => connected(hub, id)));
  for (const [at, client] of clients.entries()) {
    const subscriptions = [{ topic: `devices/${ids[at]}/messages/devicebound/#`, qos: 1 as const }];
    client.send({ cmd: 'subscribe', messageId: 1, subscriptions });
    await client.next('suback');
  }
  // A full batch of receipts is handed out at once.
  const each = 32;
  for (let at = 0; at < each; at++) {
    for (const [index, deviceId] of ids.entries()) {
      const properties: Record<string, string> = at === 0 && index === 0 ? { traceparent } : {};
      const messageId = `${deviceId}-${at}`;
      await api.commands.send(
        { deviceId },
        { bodyText: 'go', messageId, correlationId: 'job-7', ack: 'full', properties },
      );
      const { messageId: packet } = (await clients[index].next('publish')) as IPublishPacket;
      clients[index].send({ cmd: 'puback', messageId: packet });
    }
  }
  await collector.until('every command', (all) => all.filter(({ name }) => name === 'command').length === 2 * each);
  let batch = await api.commands.takeReceipts();
  for (const end = Date.now() + 20_000; batch === undefined && Date.now() < end; await sleep(50)) {
    batch = await api.commands.takeReceipts();
  }
  assert.equal(batch?.receipts.length, 2 * each);
  await api.commands.completeReceipts(batch?.lockToken ?? '');
  await collector.until('every receipt', (all) => all.filter(({ name }) => name === 'receipt').length === 2 * each);
  assert.deepEqual(collector.faults, []);
  const joined = ofTrace(collector.spans, traceId);
  const whole = byName(joined, 'command');
  assert.equal(whole.parentSpanId, parentSpanId);
  const steps = ['enqueued', 'delivered', 'settled', 'receipt'].map((name) => byName(joined, name));
  for (const step of steps) assert.equal(step.parentSpanId, whole.spanId);
  for (const [at, step] of steps.entries()) assert.ok(at === 0 || step.start >= steps[at - 1].start);
  assert.deepEqual(
    [steps[1].attributes['network.protocol.name'], steps[2].attributes['mooring.step'], whole.status],
    ['mqtt', 'completed', 0],
  );
  assert.deepEqual(
    [
      whole.attributes['mooring.device.id'],
      whole.attributes['messaging.message.id'],
      whole.attributes['messaging.message.conversation_id'],
      whole.attributes['mooring.outcome'],
    ],
    ['ordered-1', 'ordered-1-0', 'job-7', 'completed'],
  );
  assert.deepEqual([whole.start, whole.end], [steps[0].end, steps[2].end]);

  await clients[0].disconnect();
  await api.commands.send({ deviceId: 'ordered-1' }, { bodyText: 'late', messageId: 'late', ttlSeconds: 0.2 });
  await api.commands.send({ deviceId: 'ordered-1' }, { bodyText: 'gone', messageId: 'gone' });
  const isOf = (id: string) => (span: CollectedSpan) =>
    span.name === 'command' && span.attributes['messaging.message.id'] === id;
  await collector.until('the expired command', (all) => all.some(isOf('late')));
  await api.commands.purge({ deviceId: 'ordered-1' });
  await assert.rejects(api.commands.send({ deviceId: 'nobody' }, { bodyText: 'x', messageId: 'lost' }));
  await collector.until('the purged and the refused', (all) => all.some(isOf('gone')) && all.some(isOf('lost')));
  const ends = ['late', 'gone', 'lost'].map((id) => {
    const { status, attributes } = collector.spans.find(isOf(id)) as CollectedSpan;
    return [id, status, attributes['error.type']];
  });
  assert.deepEqual(ends, [
    ['late', 2, 'expired'],
    ['gone', 2, 'purged'],
    ['lost', 2, 'DeviceNotFound'],
  ]);
  await clients[1].disconnect();
  api.close();
});

test('a collector that is not there costs its traces and nothing else; it gets them from when it is', async () => {
  await using collector = await Collector.open();
  await collector.stop();
  const secret = 'collector-token-17';
  await using hub = await startHub({
    args: ['--otlp-endpoint', collector.endpoint, '--trace-sample', '1', '--mqtt-port', '0'],
    env: { MOORING_OTLP_HEADERS: `authorization=Bearer%20${secret}` },
  });
  const client = await connected(hub, 'steady-1');
  for (let at = 0; at < 50; at++) await send(client, topicOf('steady-1'));
  await hub.logged(/the collector does not take traces/);
  for (let at = 0; at < 50; at++) await send(client, topicOf('steady-1'));
  const admin = `http://127.0.0.1:${hub.endpoints.ports.admin}`;
  assert.equal((await fetch(`${admin}/readyz`)).status, 200);
  await collector.start();
  await hub.logged(/the collector takes traces again/);
  await send(client, topicOf('steady-1', '%24.mid=last'));
  await collector.until('a trace', (all) =>
    all.some(({ attributes }) => attributes['messaging.message.id'] === 'last'),
  );
  assert.deepEqual(collector.faults, []);
  assert.equal(collector.headers[0].authorization, `Bearer ${secret}`);
  assert.equal(hub.stderr().match(/further ones may be dropped/g)?.length, 1);
  const metrics = await (await fetch(`${admin}/metrics`)).text();
  assert.match(metrics, /^mooring_trace_spans_exported_total [1-9]/m);
  for (const text of [hub.stdout(), hub.stderr(), metrics]) assert.ok(!text.includes(secret));
  await client.disconnect();
  assert.equal((await hub.stop()).code, 0);
});

test('a collector that never answers holds up neither a message nor the stop', async () => {
  await using collector = await Collector.open(() => {});
  await using hub = await startHub({
    args: ['--otlp-endpoint', collector.endpoint, '--trace-sample', '1', '--mqtt-port', '0'],
  });
  const client = await connected(hub, 'steady-2');
  // More than may wait for it.
  for (let at = 0; at < 40; at++) {
    const batch = 100;
    for (let each = 0; each < batch; each++)
      client.publish({ topic: topicOf('steady-2'), qos: 1, messageId: each + 1 });
    for (let each = 0; each < batch; each++) await client.next('puback');
  }
  const metrics = async (): Promise<string> =>
    (await fetch(`http://127.0.0.1:${hub.endpoints.ports.admin}/metrics`)).text();
  let page = await metrics();
  const isFull = /^mooring_trace_spans_dropped_total\{reason="queue-full"\} [1-9]/m;
  for (const end = Date.now() + 10_000; !isFull.test(page) && Date.now() < end; await sleep(50)) page = await metrics();
  assert.match(page, isFull);
  const pending = Number(/^mooring_trace_spans_pending (\d+)$/m.exec(page)?.[1]);
  assert.ok(pending > 0 && pending <= limits.spansPendingMax + limits.spansPerRequestMax, String(pending));
  await client.disconnect();
  assert.equal((await hub.stop()).code, 0);
  assert.match(hub.stderr(), /traces were not exported/);
});
