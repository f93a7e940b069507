/** The passport of a message: each step that it takes is told, and `mooring trace` shows it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runMooring, startHub, type TestHub } from '../drivers/hub.ts';
import { devicePlace, MonitoringReader, type Told, withDevice } from '../drivers/monitoring.ts';
import { MqttDriver } from '../drivers/mqtt.ts';

const topicOf = (deviceId: string, bag = ''): string => `devices/${deviceId}/messages/events/${bag}`;
const isStep = (step: string) => (event: Told) => event.type === 'traceStep' && event.step === step;

/** Sends each payload in turn and waits for all of them to be acknowledged. */
async function sendAll(client: MqttDriver, topic: string, payloads: readonly string[]): Promise<void> {
  for (const [at, payload] of payloads.entries()) client.publish({ topic, payload, qos: 1, messageId: at + 1 });
  for (const _ of payloads) await client.next('puback');
}

async function connected(hub: TestHub, deviceId: string): Promise<MqttDriver> {
  const device = await withDevice(hub, deviceId);
  const { client, returnCode } = await MqttDriver.connect(devicePlace(hub), await device.connect());
  assert.equal(returnCode, 0);
  return client;
}

for (const threads of ['1', '2']) {
  test(`a message of a traced device, from its connection to its reader (threads: ${threads})`, async () => {
    await using hub = await startHub({ args: ['--trace-devices', 'traced-1', '--threads', threads] });
    await using reader = await MonitoringReader.open(hub);
    await using telemetry = await MonitoringReader.open(hub, 'telemetry');
    const traced = await connected(hub, 'traced-1');
    const plain = await connected(hub, 'plain-1');
    await sendAll(plain, topicOf('plain-1', '%24.mid=p-1'), ['0']);
    // The third and later ones would take the fast path.
    await sendAll(traced, topicOf('traced-1', '%24.mid=m-1'), ['1', '2', '3', '4', '5']);
    const delivered = await reader.take(5, isStep('delivered'));
    // A message may be delivered before it is told where it was stored.
    await reader.until((told) => told.filter(isStep('stored')).length >= 5);
    const all = reader.all().filter(({ type }) => type === 'traceStep');
    const opened = reader.all().find(({ type, deviceId }) => type === 'connected' && deviceId === 'traced-1');
    const ids = [...new Set(all.map(({ traceId }) => traceId))];
    assert.equal(ids.length, 5);
    for (const [at, id] of ids.entries()) {
      const steps = all.filter(({ traceId }) => traceId === id);
      // A reader may have a message before it is known where the message was stored.
      const names = ['received', 'authorised', 'stored', 'delivered'];
      const [received, authorised, stored, last] = names.map((name) => steps.filter(({ step }) => step === name)[0]);
      assert.equal(steps.length, names.length);
      assert.ok(stored.time <= last.time);
      assert.deepEqual(
        [received.protocol, received.credential, received.correlationId, received.messageId, received.deviceId],
        ['mqtt', 'sas', opened?.correlationId, 'm-1', 'traced-1'],
      );
      assert.equal(authorised.operation, 'telemetry.send');
      assert.deepEqual([last.partition, last.sequence], [stored.partition, stored.sequence]);
      assert.equal(last.consumerGroup, '$Default');
      assert.equal(stored.sequence, Number(delivered[0].sequence) + at);
    }
    const messages = await Promise.all(Array.from({ length: 6 }, () => telemetry.nextMessage(() => true)));
    for (const message of messages) {
      assert.equal('x-opt-mooring-trace' in message.system, message.deviceId === 'traced-1');
    }

    const shown = await runMooring(['trace', 'm-1', '--data-dir', hub.dataDir]);
    assert.equal(shown.code, 0, shown.stderr);
    assert.equal(shown.stdout.match(/ {2}stored partition=\d+ sequence=\d+/g)?.length, 5);
    const one = await runMooring([
      'trace',
      String(ids[2]),
      '--device',
      'traced-1',
      '--json',
      '--data-dir',
      hub.dataDir,
    ]);
    assert.equal(JSON.parse(one.stdout).messages[0].length, 4);
    assert.equal((await runMooring(['trace', 'p-1', '--data-dir', hub.dataDir])).code, 1);
    await traced.disconnect();
    await plain.disconnect();
  });
}

test('one message of so many is traced; its steps are found after a restart of the hub', async () => {
  const first = await startHub({ args: ['--trace-sample', '10'] });
  const client = await connected(first, 'sampled-1');
  await sendAll(
    client,
    topicOf('sampled-1'),
    Array.from({ length: 40 }, (_, at) => String(at)),
  );
  const reader = await MonitoringReader.open(first);
  const stored = await reader.take(4, isStep('stored'));
  assert.deepEqual(
    stored.map(({ sequence }) => sequence),
    [9, 19, 29, 39],
  );
  assert.equal(reader.all().filter(isStep('received')).length, 4);
  await reader.close();
  await client.disconnect();
  await first.stop();
  await using again = await startHub({ dataDir: first.dataDir });
  const { code, stdout, stderr } = await runMooring(['trace', String(stored[1].traceId), '--data-dir', again.dataDir]);
  assert.equal(code, 0, stderr);
  assert.match(stdout, /stored partition=\d+ sequence=19$/m);
  await first[Symbol.asyncDispose]();
});

test('a command’s trail stands beside it', async () => {
  await using hub = await startHub({});
  await withDevice(hub, 'ordered-1');
  const place = ['--data-dir', hub.dataDir];
  const sent = await runMooring(['command', 'send', 'ordered-1', '--body', 'go', '--message-id', 'c-1', ...place]);
  assert.equal(sent.code, 0, sent.stderr);
  const { code, stdout, stderr } = await runMooring(['trace', 'c-1', '--device', 'ordered-1', ...place]);
  assert.equal(code, 0, stderr);
  assert.match(stdout, /enqueued/);
  // A dead letter that is sent again: both trails tell of each other.
  await runMooring(['command', 'purge', 'ordered-1', ...place]);
  assert.equal((await runMooring(['command', 'send-again', 'ordered-1', '1', ...place])).code, 0);
  const again = await runMooring(['trace', 'c-1', '--device', 'ordered-1', ...place]);
  assert.match(again.stdout, /sent-again {2}as command 2/);
  assert.match(again.stdout, /enqueued {2}command 1 again/);
});
