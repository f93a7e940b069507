/** Limits and fairness on the real hub: a noisy device beside quiet ones, connects, failed authentication. */
import assert from 'node:assert/strict';
import https from 'node:https';
import { test } from 'node:test';
import { signSas } from '../../src/api/sas.ts';
import { limits } from '../../src/base/limits.ts';
import { AmqpDriver } from '../drivers/amqp.ts';
import { apiOf } from '../drivers/api.ts';
import { startHub, type TestHub } from '../drivers/hub.ts';
import { MonitoringReader, type Told } from '../drivers/monitoring.ts';
import { type connectPacket, MqttDriver, publishPacket } from '../drivers/mqtt.ts';
import { until } from '../drivers/until.ts';

const QUIET = 99;
const PER_SECOND = 20;
const STRETCH_MS = 4000;

type Fields = Parameters<typeof connectPacket>[0];

/** CONNECT fields with which each new device is let in. */
async function createDevices(hub: TestHub, ids: readonly string[]): Promise<ReadonlyMap<string, Fields>> {
  const api = apiOf(hub);
  const fields = new Map<string, Fields>();
  for (const deviceId of ids) {
    const { authentication } = await api.devices.create(deviceId);
    const password = await signSas({
      resource: `localhost/devices/${deviceId}`,
      key: authentication.symmetricKey?.primaryKey ?? '',
      expiresAt: Date.now() + 3_600_000,
    });
    const username = `localhost/${deviceId}/?api-version=2021-04-12`;
    fields.set(deviceId, { clientId: deviceId, username, password: Buffer.from(password) });
  }
  api.close();
  return fields;
}

async function connect(hub: TestHub, fields: Fields | undefined): Promise<MqttDriver> {
  const place = { port: hub.endpoints.ports.mqtt ?? 0 };
  const { client, returnCode } = await MqttDriver.connect(place, fields ?? {});
  assert.equal(returnCode, 0);
  return client;
}

const telemetry = (deviceId: string, messageId: number) =>
  publishPacket({
    topic: `devices/${deviceId}/messages/events/`,
    qos: 1,
    messageId,
    payload: Buffer.from('x'.repeat(200)),
  });

/** Each device sends a message, awaits its acknowledgement, and rests; resolves with all waits in milliseconds. */
async function quietly(clients: ReadonlyMap<string, MqttDriver>, stretchMs: number): Promise<number[]> {
  const waits: number[] = [];
  const end = performance.now() + stretchMs;
  let nth = 0;
  const one = async (deviceId: string, client: MqttDriver): Promise<void> => {
    await new Promise((resolve) => setTimeout(resolve, 10 * nth++));
    for (let messageId = 1; performance.now() < end; messageId++) {
      const sent = performance.now();
      client.send(telemetry(deviceId, messageId));
      await client.next('puback');
      waits.push(performance.now() - sent);
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  };
  await Promise.all([...clients].map(([deviceId, client]) => one(deviceId, client)));
  return waits;
}

const p99 = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[Math.floor(values.length * 0.99)];

test('a device at 100 times its limit is held to it, and the quiet ones do not notice', async (context) => {
  await using hub = await startHub({
    args: ['--mqtt-port', '0', '--device-messages-per-second', String(PER_SECOND), '--log-level', 'warn'],
  });
  const ids = Array.from({ length: QUIET }, (_, nth) => `quiet-${nth}`);
  const fields = await createDevices(hub, [...ids, 'noisy']);
  const quiet = new Map<string, MqttDriver>();
  for (const id of ids) quiet.set(id, await connect(hub, fields.get(id)));

  const alone = await quietly(quiet, STRETCH_MS);

  const noisy = await connect(hub, fields.get('noisy'));
  let acknowledged = 0;
  let offered = 0;
  const started = performance.now();
  const count = (async () => {
    for (;;) {
      await noisy.next('puback');
      acknowledged++;
    }
  })().catch(() => {});
  const pump = setInterval(() => {
    // A hundred times the limit, as far as the hub takes it from the socket.
    const due = ((performance.now() - started) / 1000) * PER_SECOND * 100;
    while (offered < due && noisy.socket.writableLength < 1_000_000)
      noisy.send(telemetry('noisy', (offered++ % 60_000) + 1));
  }, 5);
  const beside = await quietly(quiet, STRETCH_MS);
  const seconds = (performance.now() - started) / 1000;
  const taken = acknowledged;
  clearInterval(pump);
  noisy.destroy();
  await count;
  for (const client of quiet.values()) client.destroy();

  context.diagnostic(
    `p99 of ${QUIET} quiet devices: ${p99(alone).toFixed(1)} ms alone (${alone.length} messages), ` +
      `${p99(beside).toFixed(1)} ms beside the noisy one (${beside.length}); ` +
      `the noisy one offered ${offered} messages and had ${taken} acknowledged in ${seconds.toFixed(1)} s`,
  );
  assert.ok(offered > taken * 10, `${offered} offered, ${taken} taken`);
  // What it held at first, what flowed in, and the one that overdraws.
  assert.ok(taken <= PER_SECOND * (seconds + 1) + 2, `${taken} messages in ${seconds} s`);
  assert.ok(taken >= PER_SECOND * seconds * 0.8, `${taken} messages in ${seconds} s`);
  assert.ok(alone.length > QUIET * 4 && beside.length > QUIET * 4);
  // A shared machine is uneven; a device without its limit would cost seconds.
  assert.ok(p99(beside) < p99(alone) * 5 + 100, `${p99(alone)} ms alone, ${p99(beside)} ms beside`);
});

test('over AMQP a device gets credit for its rate and no more, and loses nothing; over HTTP it is told when to come', async () => {
  await using hub = await startHub({
    args: ['--device-messages-per-second', String(PER_SECOND), '--log-level', 'warn'],
  });
  const { endpoints, ca } = hub;
  const fields = await createDevices(hub, ['d1', 'd2']);
  const client = await AmqpDriver.connect(endpoints.ports.amqps ?? 0, {
    transport: 'tls',
    ca,
    servername: 'localhost',
  });
  await client.putToken(String(fields.get('d1')?.password), 'localhost/devices/d1');
  const sender = client.send('/devices/d1/messages/events');
  await sender.opened();
  let [sent, accepted] = [0, 0];
  sender.link.on('accepted', () => accepted++);
  const pump = (): void => {
    // The library takes more than there is credit for, and keeps it.
    for (let left = (sender.link as unknown as { credit: number }).credit; left > 0; left--)
      sender.link.send({ body: `m${sent++}` });
  };
  sender.link.on('sendable', pump);
  const started = performance.now();
  pump();
  await new Promise((resolve) => setTimeout(resolve, 4000));
  const seconds = (performance.now() - started) / 1000;
  assert.ok(accepted <= PER_SECOND * (seconds + 1) + limits.amqpThrottledCreditMax, `${accepted} in ${seconds} s`);
  assert.ok(accepted >= PER_SECOND * seconds * 0.7, `${accepted} in ${seconds} s`);
  sender.link.removeAllListeners('sendable');
  await until('all messages are accepted', () => accepted >= sent);
  await client.close();

  // One device has so many connections at a time (`limits.connectionsPerDeviceMax`).
  const agent = new https.Agent({ maxSockets: limits.connectionsPerDeviceMax / 2 });
  const post = (): Promise<{ readonly status: number; readonly retryAfter: string | undefined }> =>
    new Promise((resolve, reject) => {
      const request = https.request(
        {
          host: '127.0.0.1',
          servername: 'localhost',
          port: endpoints.ports.https,
          ca,
          agent,
          method: 'POST',
          path: '/devices/d2/messages/events?api-version=2021-04-12',
          headers: { authorization: String(fields.get('d2')?.password) },
        },
        (response) => {
          response.resume();
          const retryAfter = response.headers['retry-after'];
          response.once('end', () => resolve({ status: response.statusCode ?? 0, retryAfter }));
        },
      );
      request.once('error', reject);
      request.end('x');
    });
  const answers = await Promise.all(Array.from({ length: PER_SECOND * 3 }, post));
  const late = answers.filter(({ status }) => status === 429);
  assert.ok(late.length > 0 && late.every(({ retryAfter }) => Number(retryAfter) >= 1));
  assert.ok(answers.every(({ status }) => status === 204 || status === 429));
});

test('a device that connects too often is put off with code 3, the others are not', async () => {
  await using hub = await startHub({ args: ['--mqtt-port', '0', '--device-connects-per-minute', '5'] });
  const fields = await createDevices(hub, ['d1', 'd2']);
  const place = { port: hub.endpoints.ports.mqtt ?? 0 };
  const codes: number[] = [];
  for (let nth = 0; nth < 7; nth++) {
    const { client, returnCode } = await MqttDriver.connect(place, fields.get('d1') ?? {});
    codes.push(returnCode);
    client.destroy();
  }
  assert.deepEqual(codes, [0, 0, 0, 0, 0, 3, 3]);
  await hub.logged(/deviceConnectsPerMinute/);
  assert.equal((await MqttDriver.connect(place, fields.get('d2') ?? {})).returnCode, 0);
});

test('wrong passwords are answered later and later; the right one at once, from the same address', async () => {
  await using hub = await startHub({ args: ['--mqtt-port', '0', '--refusal-delay-seconds', '1'] });
  const fields = await createDevices(hub, ['d1', 'd2']);
  const place = { port: hub.endpoints.ports.mqtt ?? 0 };
  const timed = async (
    deviceId: string,
    password?: Buffer,
  ): Promise<{ readonly code: number; readonly ms: number }> => {
    const known = fields.get(deviceId) ?? {};
    const started = performance.now();
    const { client, returnCode } = await MqttDriver.connect(
      place,
      password === undefined ? known : { ...known, password },
    );
    client.destroy();
    return { code: returnCode, ms: performance.now() - started };
  };
  const wrong = Buffer.from('SharedAccessSignature sr=localhost%2Fdevices%2Fd1&sig=AAAA&se=9999999999');
  const waits: number[] = [];
  for (let nth = 0; nth < 9; nth++) {
    const { code, ms } = await timed('d1', wrong);
    assert.equal(code, 5);
    waits.push(ms);
  }
  // 5 at once, then 100, 200, 400, 800 ms.
  for (const [nth, least] of [100, 200, 400, 800].entries()) assert.ok(waits[5 + nth] >= least - 5, waits.join(' '));
  const waiting = timed('d1', wrong);
  for (const deviceId of ['d1', 'd2']) {
    const { code, ms } = await timed(deviceId);
    assert.equal(code, 0);
    assert.ok(ms < 500, `${deviceId} waited ${ms} ms`);
  }
  assert.ok((await waiting).ms >= 990);
});

/** What the stream tells of slowing. */
const isSlowed = ({ type, effect }: Told): boolean => type === 'throttled' && effect === 'slowed';
const metricsOf = async (hub: TestHub): Promise<string> =>
  (await fetch(`http://127.0.0.1:${hub.endpoints.ports.admin}/metrics`)).text();
/** Seconds, and so longer than the one by which slowing is told. */
const WINDOW = ['--monitoring-window-seconds', '2', '--log-level', 'warn'];

test('a device that is slowed is told of: the limit, its use, since when; once at first, then in sums, and none at the end', async () => {
  await using hub = await startHub({
    args: ['--mqtt-port', '0', '--device-messages-per-second', String(PER_SECOND), ...WINDOW],
  });
  await using reader = await MonitoringReader.open(hub);
  const fields = await createDevices(hub, ['quiet', 'noisy']);
  const quiet = await connect(hub, fields.get('quiet'));
  const noisy = await connect(hub, fields.get('noisy'));
  quiet.send(telemetry('quiet', 1));
  await quiet.next('puback');
  const count = 6 * PER_SECOND;
  for (let messageId = 1; messageId <= count; messageId++) noisy.send(telemetry('noisy', messageId));
  const first = await reader.next(isSlowed);
  assert.deepEqual(
    [first.deviceId, first.protocol, first.peer, first.operation, first.count, first.summedOver],
    ['noisy', 'mqtt', '127.0.0.1', 'telemetry.send', 1, 'source'],
  );
  const { name, scope, current, max } = first.limit as Record<string, unknown>;
  assert.deepEqual([name, scope, max], ['deviceMessagesPerSecond', 'device noisy', PER_SECOND]);
  assert.ok(Number(current) > PER_SECOND, `${current}`);
  assert.equal(first.since, first.time);
  const sum = await reader.next(isSlowed);
  assert.ok(Number(sum.count) >= 1);
  assert.equal(sum.since, first.since);
  for (let nth = 0; nth < count; nth++) await noisy.next('puback');
  await noisy.disconnect();
  await quiet.disconnect();
  // When nothing is summed any more, all has been told.
  let metrics = '';
  const areClosed = async (): Promise<boolean> => {
    metrics = await metricsOf(hub);
    return /^mooring_monitoring_sums_open 0$/m.test(metrics);
  };
  await until('no sum is open', areClosed, { everyMs: 100 });
  const counted = Number(/^mooring_slowed_seconds_total\{limit="deviceMessagesPerSecond"\} (\d+)$/m.exec(metrics)?.[1]);
  const secondsIn = (told: readonly Told[]): number =>
    told.filter(isSlowed).reduce((total, event) => total + Number(event.count), 0);
  const all = (await reader.until((told) => secondsIn(told) >= counted)).filter(isSlowed);
  const seconds = secondsIn(all);
  assert.ok(all.every(({ deviceId }) => deviceId === 'noisy'));
  assert.ok(all.length < 8 && seconds >= 3 && seconds <= 20, `${all.length} events of ${seconds} seconds`);
});

test('over AMQP a device that gets no credit is told of, and the limit of the whole hub without any device', async () => {
  await using hub = await startHub({
    args: ['--device-messages-per-second', String(PER_SECOND), '--hub-bytes-per-second', '4KiB', ...WINDOW],
  });
  await using reader = await MonitoringReader.open(hub);
  const { endpoints, ca } = hub;
  const fields = await createDevices(hub, ['d1', 'd2']);
  for (const [deviceId, body, messages] of [
    ['d1', 'x', 3 * PER_SECOND],
    ['d2', 'x'.repeat(20_000), 1],
  ] as const) {
    const client = await AmqpDriver.connect(endpoints.ports.amqps ?? 0, {
      transport: 'tls',
      ca,
      servername: 'localhost',
    });
    await client.putToken(String(fields.get(deviceId)?.password), `localhost/devices/${deviceId}`);
    const sender = client.send(`/devices/${deviceId}/messages/events`);
    await sender.opened();
    for (let sent = 0; sent < messages; sent++) assert.equal(await sender.outcome({ body }), 'accepted');
    const slowed = await reader.next(isSlowed);
    const { name, scope } = slowed.limit as Record<string, unknown>;
    if (deviceId === 'd1') {
      assert.deepEqual([slowed.deviceId, slowed.protocol, name], ['d1', 'amqp', 'deviceMessagesPerSecond']);
      await reader.until((told) => told.filter(isSlowed).length > 1);
    } else {
      const hubs =
        scope === 'hub' ? slowed : await reader.next((told) => isSlowed(told) && told.deviceId === undefined);
      assert.deepEqual(hubs.limit && (hubs.limit as Record<string, unknown>).name, 'hubBytesPerSecond');
      assert.equal(hubs.deviceId, undefined);
    }
    await client.close();
  }
  assert.match(await metricsOf(hub), /mooring_slowed_seconds_total\{limit="deviceMessagesPerSecond"\} [1-9]/);
});
