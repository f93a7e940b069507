/** The whole hub with two listener threads: what holds on one thread holds over both. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import tls from 'node:tls';
import type { ApiClient } from '../../src/api/client.ts';
import { signSas } from '../../src/api/sas.ts';
import { apiOf } from '../drivers/api.ts';
import { startHub, type TestHub } from '../drivers/hub.ts';
import { MqttDriver } from '../drivers/mqtt.ts';
import { readToEnd } from '../reliability/event-reader.ts';

let hub: TestHub;
let api: ApiClient;

before(async () => {
  // Refusals are not slowed down here: some tests fail to connect again and again.
  hub = await startHub({ args: ['--threads', '2', '--log-level', 'debug', '--refusal-delay-seconds', '0'] });
  api = apiOf(hub);
});

after(async () => {
  api.close();
  await hub[Symbol.asyncDispose]();
});

const port = (name: 'mqtts' | 'mqtt' | 'amqp'): number => hub.endpoints.ports[name] ?? 0;

async function credentials(deviceId: string) {
  const device = await api.devices.create(deviceId);
  const key = device.authentication.symmetricKey.primaryKey ?? '';
  const token = await signSas({ resource: `localhost/devices/${deviceId}`, key, expiresAt: Date.now() + 3_600_000 });
  const username = `localhost/${deviceId}/?api-version=2021-04-12`;
  return { clientId: deviceId, username, password: Buffer.from(token) };
}

async function connect(fields: Awaited<ReturnType<typeof credentials>>): Promise<MqttDriver> {
  const { client, returnCode } = await MqttDriver.connect({ port: port('mqtt') }, fields);
  assert.equal(returnCode, 0);
  return client;
}

/** Threads on which an identity's connections were accepted, in order. */
function threadsOf(identity: string): readonly number[] {
  const lines = hub.stderr().split('\n');
  return lines
    .filter((line) => line.includes('MQTT connection accepted') && line.includes(`"${identity}"`))
    .map((line) => (JSON.parse(line) as { readonly thread: number }).thread);
}

/** Bodies of a device's events, in the order of the log. */
async function stored(deviceId: string): Promise<readonly string[]> {
  const bodies: string[] = [];
  const place = { port: port('amqp'), connectionString: hub.endpoints.connectionStrings.eventHubsEmulator };
  await readToEnd(place, new Map(), (event) => {
    if (event.deviceId === deviceId) bodies.push(event.body.toString());
  });
  return bodies;
}

for (const [how, leave] of [
  ['is taken over by its next one', () => {}],
  ['says good-bye', (client: MqttDriver) => client.send({ cmd: 'disconnect' })],
  ['breaks', (client: MqttDriver) => void client.socket.resetAndDestroy()],
] as const) {
  test(`a device's events stay in order over both threads when its connection ${how}`, async () => {
    const deviceId = `order-${how.split(' ')[0]}`;
    const fields = await credentials(deviceId);
    const acknowledged = new Set<number>();
    let sent = 0;
    for (let turn = 0; turn < 40; turn++) {
      const client = await connect(fields);
      for (let at = 0; at < 20; at++) {
        client.publish({
          topic: `devices/${deviceId}/messages/events/`,
          payload: String(++sent),
          qos: 1,
          messageId: sent,
        });
      }
      // Some of them are acknowledged, the others are on their way.
      for (let at = 0; at < turn % 5; at++) acknowledged.add((await client.next('puback')).messageId ?? 0);
      leave(client);
    }
    const last = await connect(fields);
    await last.disconnect();
    const threads = threadsOf(deviceId);
    assert.deepEqual(new Set(threads), new Set([1, 2]));
    const numbers = (await stored(deviceId)).map(Number);
    assert.deepEqual(
      numbers,
      numbers.toSorted((a, b) => a - b),
    );
    assert.equal(new Set(numbers).size, numbers.length);
    for (const number of acknowledged) assert.ok(numbers.includes(number), `${number} was acknowledged`);
  });
}

test('the older connection of an identity ends, on whichever thread it is', async () => {
  const fields = await credentials('taken');
  let older = await connect(fields);
  for (let turn = 0; turn < 20; turn++) {
    const newer = await connect(fields);
    await older.untilClosed();
    older = newer;
  }
  await older.ping();
  assert.deepEqual(new Set(threadsOf('taken')), new Set([1, 2]));
  assert.equal((await api.devices.get('taken')).connectionState, 'Connected');
  await older.disconnect();
});

test('devices that are disabled are cut off within a second on both threads, and stay out', async () => {
  const ids = Array.from({ length: 12 }, (_, at) => `off-${at}`);
  const all = await Promise.all(ids.map(credentials));
  const clients = await Promise.all(all.map(connect));
  // The log comes by a pipe of its own, so a line may be behind the answer that it tells of.
  await Promise.all(ids.map((id) => hub.logged(new RegExp(`"${id}".*MQTT connection accepted`))));
  const threads = new Set(ids.flatMap((id) => threadsOf(id)));
  assert.deepEqual(threads, new Set([1, 2]));
  await Promise.all(
    ids.map(async (id, at) => {
      const started = performance.now();
      await api.devices.update(id, { status: 'disabled' });
      await clients[at].untilClosed();
      assert.ok(performance.now() - started < 1000);
      for (let attempt = 0; attempt < 3; attempt++) {
        const { returnCode } = await MqttDriver.connect({ port: port('mqtt') }, all[at]);
        assert.equal(returnCode, 5);
      }
    }),
  );
});

test('what the registry has answered holds on every thread: a new key lets in at once, the old one does not', async () => {
  const old = await credentials('rekeyed');
  for (let turn = 0; turn < 10; turn++) {
    await api.devices.delete('rekeyed');
    const fields = await credentials('rekeyed');
    const client = await connect(fields);
    await client.disconnect();
    assert.equal((await MqttDriver.connect({ port: port('mqtt') }, old)).returnCode, 5);
  }
});

for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
  test(`a ${version} session is resumed on whichever thread the client meets`, async () => {
    const range = { minVersion: version, maxVersion: version };
    const place = { port: port('mqtts'), host: '127.0.0.1', servername: 'localhost', ca: hub.ca, ...range };
    const first = tls.connect(place).resume();
    const [session] = (await once(first, 'session')) as [Buffer];
    first.destroy();
    for (let turn = 0; turn < 30; turn++) {
      const socket = tls.connect({ ...place, session });
      await once(socket, 'secureConnect');
      assert.equal(socket.isSessionReused(), true);
      socket.destroy();
    }
  });
}

test('every thread’s connections are counted', async () => {
  const ids = Array.from({ length: 8 }, (_, at) => `counted-${at}`);
  const clients = await Promise.all((await Promise.all(ids.map(credentials))).map(connect));
  const page = await (await fetch(`http://127.0.0.1:${hub.endpoints.ports.admin}/metrics`)).text();
  assert.match(page, /^mooring_connections\{door="mqtt"\} 8$/m);
  await Promise.all(clients.map((client) => client.disconnect()));
});
