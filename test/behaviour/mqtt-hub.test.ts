/** The MQTT door of the whole hub, as a process of its own on embedded storage. */
import assert from 'node:assert/strict';
import net from 'node:net';
import { after, before, test } from 'node:test';
import tls from 'node:tls';
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt';
import type { ApiClient } from '../../src/api/client.ts';
import { parseLogin } from '../../src/api/connection-string.ts';
import { signSas } from '../../src/api/sas.ts';
import { seededRandom } from '../../src/base/random.ts';
import { apiOf } from '../drivers/api.ts';
import { startHub, type TestHub } from '../drivers/hub.ts';
import { MqttDriver } from '../drivers/mqtt.ts';

let hub: TestHub;
let api: ApiClient;

before(async () => {
  hub = await startHub();
  api = apiOf(hub);
});

after(async () => {
  api.close();
  await hub[Symbol.asyncDispose]();
});

interface Credentials {
  readonly clientId: string;
  readonly username: string;
  readonly password: Buffer;
}

/** Makes the device if it must be made; CONNECT fields with a token of its own key. */
async function credentials(deviceId: string): Promise<Credentials> {
  const device = await api.devices.create(deviceId).catch(() => api.devices.get(deviceId));
  const key = device.authentication.symmetricKey.primaryKey ?? '';
  const token = await signSas({ resource: `localhost/devices/${deviceId}`, key, expiresAt: Date.now() + 3_600_000 });
  return connectFields(deviceId, token);
}

function connectFields(deviceId: string, token: string): Credentials {
  return {
    clientId: deviceId,
    username: `localhost/${deviceId}/?api-version=2021-04-12`,
    password: Buffer.from(token),
  };
}

/** The npm client over TLS. */
function open(fields: Credentials, options: IClientOptions = {}): Promise<MqttClient> {
  const url = `mqtts://localhost:${hub.endpoints.ports.mqtts}`;
  return mqtt.connectAsync(url, { ca: hub.ca, clean: false, reconnectPeriod: 0, ...fields, ...options }, false);
}

const port = (name: 'mqtts' | 'mqtt'): number => hub.endpoints.ports[name] ?? 0;

for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
  test(`a device publishes over ${version}, every message acknowledged in order`, async () => {
    const range: object = { minVersion: version, maxVersion: version };
    const client = await open(await credentials('tls'), range);
    assert.ok(client.stream instanceof tls.TLSSocket);
    assert.equal(client.stream.getProtocol(), version);
    const acknowledged: number[] = [];
    const sent = Array.from({ length: 300 }, (_, at) =>
      client
        .publishAsync(`devices/tls/messages/events/n=${at % 3}`, `${at}`, { qos: 1 })
        .then(() => acknowledged.push(at)),
    );
    await Promise.all(sent);
    assert.deepEqual(acknowledged, Array.from(sent.keys()));
    await client.endAsync();
  });
}

test('a key of the device policy speaks for a device', async () => {
  await api.devices.create('by-policy');
  const { proof } = parseLogin(hub.endpoints.connectionStrings.device);
  assert.ok(proof.kind === 'key');
  const token = await signSas({
    resource: 'localhost',
    key: proof.key,
    policyName: proof.policyName,
    expiresAt: Date.now() + 3_600_000,
  });
  const client = await open(connectFields('by-policy', token));
  await client.publishAsync('devices/by-policy/messages/events/', 'x', { qos: 1 });
  await client.endAsync();
});

test('a wrong key is refused with code 5, and the log says why without the token', async () => {
  const fields = await credentials('wrong');
  const token = await signSas({
    resource: 'localhost/devices/wrong',
    key: Buffer.alloc(32, 9).toString('base64'),
    expiresAt: Date.now() + 3_600_000,
  });
  const place = { port: port('mqtt') };
  const { returnCode, client } = await MqttDriver.connect(place, { ...fields, password: Buffer.from(token) });
  assert.equal(returnCode, 5);
  await client.untilClosed();
  await hub.logged(/wrong-key/);
  assert.ok(!hub.stderr().includes(/sig=([^&]+)/.exec(token)?.[1] ?? 'sig'));
});

test('a device that is disabled or deleted is disconnected within a second', async () => {
  const place = { port: port('mqtt') };
  for (const end of [() => api.devices.update('cut', { status: 'disabled' }), () => api.devices.delete('cut')]) {
    const { returnCode, client } = await MqttDriver.connect(place, await credentials('cut'));
    assert.equal(returnCode, 0);
    const started = performance.now();
    await end();
    await client.untilClosed();
    assert.ok(performance.now() - started < 1000);
    if (await api.devices.get('cut').catch(() => undefined)) await api.devices.delete('cut');
  }
});

test('random bytes on the plain and on the TLS port end their connections, and the hub lives', async () => {
  const seed = 424_242;
  const random = seededRandom(seed);
  for (let round = 0; round < 40; round++) {
    const bytes = random.bytes(1 + Math.floor(random.next() * 2000));
    // A first byte of 1 is the beginning of a CONNECT, which would be waited for.
    if (bytes[0] >> 4 === 1) bytes[0] = 0xff;
    const sockets = [
      net.connect(port('mqtt'), '127.0.0.1'),
      net.connect(port('mqtts'), '127.0.0.1'),
      tls.connect({ port: port('mqtts'), host: '127.0.0.1', servername: 'localhost', ca: hub.ca }),
    ];
    await Promise.all(
      sockets.map(
        (socket, at) =>
          new Promise<void>((resolve) => {
            socket.on('error', () => {});
            socket.on('close', () => resolve());
            socket.resume();
            // Bytes that look like the start of a TLS record are waited for as well: the raw socket ends itself.
            socket.write(bytes, () => at === 1 && setImmediate(() => socket.end()));
          }),
      ),
    );
  }
  const client = await open(await credentials('after-noise'));
  await client.publishAsync('devices/after-noise/messages/events/', 'x', { qos: 1 });
  await client.endAsync();
});

test('a session survives a restart of the hub, and SIGTERM ends connections', async () => {
  const fields = { ...(await credentials('lasting')), clean: false };
  const first = await MqttDriver.connect({ port: port('mqtt') }, fields);
  assert.deepEqual([first.returnCode, first.sessionPresent], [0, false]);
  first.client.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: '$iothub/twin/res/#', qos: 0 }] });
  await first.client.next('suback');
  first.client.publish({ topic: 'devices/lasting/messages/events/', qos: 1, messageId: 2 });
  await first.client.next('puback');
  assert.equal((await hub.stop()).code, 0);
  await first.client.untilClosed();
  hub = await hub.restart();
  const second = await MqttDriver.connect({ port: port('mqtt') }, fields);
  assert.deepEqual([second.returnCode, second.sessionPresent], [0, true]);
  second.client.publish({ topic: '$iothub/twin/GET/?$rid=1' });
  assert.equal((await second.client.next('publish')).topic, '$iothub/twin/res/200/?$rid=1');
  await second.client.disconnect();
});
