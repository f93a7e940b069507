/** The adapter mqtt-topics with a real client, the mqtt library, that speaks as Tasmota, Shelly and zigbee2mqtt do. Mosquitto's: `sdk-tests`. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, test } from 'node:test';
import type tls from 'node:tls';
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt';
import mqttTopics from '../../src/adapters/mqtt-topics/index.ts';
import { limits } from '../../src/base/limits.ts';
import { adapterContract, FakeHub, fakeRig, type RunningAdapter, runAdapter } from '../../src/gateway/testing/index.ts';
import { makeCertificate } from '../drivers/certificates.ts';
import { MqttDriver } from '../drivers/mqtt.ts';
import { mqttTopicsDriver } from '../drivers/mqtt-topics-device.ts';
import { until } from '../drivers/until.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'mqtt-topics-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const passwordFile = path.join(folder, 'z2m');
writeFileSync(passwordFile, 'zigbee secret\n');

describe('the contract of adapters: mqtt-topics, fake hub', () => {
  for (const { title, run } of adapterContract(mqttTopics, mqttTopicsDriver, fakeRig))
    test(title, { timeout: 10_000 }, run);
});

interface Site {
  readonly hub: FakeHub;
  readonly adapter: RunningAdapter;
  readonly port: number;
}

/** An adapter in front of a hub in memory; stopped at the test's end. */
async function site(
  context: { after(work: () => Promise<void>): void },
  some: object = {},
  mayVouch = true,
): Promise<Site> {
  const hub = new FakeHub(() => mayVouch);
  const users = [{ name: 'z2m', password: { $file: passwordFile }, devices: 'home-{device}', devicesMax: 3 }];
  const listen = { port: 0, plain: true, users };
  const adapter = await runAdapter(
    mqttTopics,
    { listen, presets: ['tasmota', 'shelly', 'zigbee2mqtt', 'esphome'], ...some },
    hub,
  );
  context.after(() => adapter.stop());
  return { hub, adapter, port: adapter.ports[0] };
}

async function client(port: number, options: IClientOptions): Promise<MqttClient> {
  return mqtt.connectAsync(`mqtt://127.0.0.1:${port}`, { reconnectPeriod: 0, connectTimeout: 5000, ...options });
}

const zigbee: IClientOptions = {
  username: 'z2m',
  password: 'zigbee secret',
  clientId: 'mqttjs_z2m',
  will: { topic: 'zigbee2mqtt/bridge/state', payload: Buffer.from('{"state":"offline"}'), qos: 1, retain: true },
};

for (const [protocolVersion, qos] of [
  [4, 0],
  [4, 1],
  [4, 2],
  [5, 0],
  [5, 1],
  [5, 2],
] as const) {
  test(`a sensor of Tasmota over MQTT ${protocolVersion} at QoS ${qos}`, async (context) => {
    const { hub, port } = await site(context);
    const device = await client(port, {
      username: 'plug-1',
      password: hub.addDevice('plug-1'),
      clientId: 'DVES_83D2',
      protocolVersion,
    });
    await device.publishAsync('tele/tasmota_83D2/SENSOR', '{"ENERGY":{"Power":12}}', { qos });
    await until('it is there', () => hub.messages.length === 1);
    const { device: from, text, message, until: kept } = hub.messages[0];
    assert.deepEqual(
      [from, text, { ...message.properties }, message.contentType, message.address, kept],
      [
        'plug-1',
        '{"ENERGY":{"Power":12}}',
        { kind: 'SENSOR' },
        'application/json',
        'tele/tasmota_83D2/SENSOR',
        'stored',
      ],
    );
    const heard = new Promise((resolve) => device.once('message', (topic, payload) => resolve(`${topic} ${payload}`)));
    await device.subscribeAsync('cmnd/tasmota_83D2/#', { qos });
    assert.equal(await hub.sendCommand('plug-1', 'TOGGLE', { command: 'POWER' }), 'complete');
    assert.equal(await heard, 'cmnd/tasmota_83D2/POWER TOGGLE');
    await device.endAsync();
  });
}

test('a method of Tasmota is answered by its RESULT, one that nobody subscribed at once', async (context) => {
  const { hub, port } = await site(context);
  const device = await client(port, { username: 'plug-1', password: hub.addDevice('plug-1'), clientId: 'DVES_1' });
  assert.equal((await hub.callMethod('plug-1', 'Status', '5')).status, 503);
  device.on('message', (topic, payload) => {
    assert.deepEqual([topic, String(payload)], ['cmnd/plug/Status', '5']);
    device.publish('stat/plug/RESULT', '{"Status":{"Power":1}}');
  });
  await device.subscribeAsync('cmnd/plug/#', { qos: 1 });
  assert.deepEqual(await hub.callMethod('plug-1', 'Status', '5'), { status: 200, payload: { Status: { Power: 1 } } });
  // Without a call that waits, the same is telemetry.
  await device.publishAsync('stat/plug/RESULT', '{"POWER":"ON"}', { qos: 1 });
  assert.deepEqual(hub.textsOf('plug-1'), ['{"POWER":"ON"}']);
  await device.endAsync();
});

test('Shelly of the second generation: RPC by methods, errors included', async (context) => {
  const { hub, port } = await site(context);
  const device = await client(port, {
    username: 'relay',
    password: hub.addDevice('relay'),
    clientId: 'shellyplus1-7c87',
    protocolVersion: 4,
  });
  device.on('message', (topic, payload) => {
    const { id, src, method, params } = JSON.parse(String(payload));
    assert.equal(topic, 'shellyplus1-7c87/rpc');
    const answer =
      method === 'Switch.Set' ? { result: { was_on: !params.on } } : { error: { code: 404, message: 'No handler' } };
    device.publish(`${src}/rpc`, JSON.stringify({ id, src: 'shellyplus1-7c87', dst: src, ...answer }));
  });
  await device.publishAsync('shellyplus1-7c87/online', 'true', { qos: 1, retain: true });
  await device.subscribeAsync('shellyplus1-7c87/rpc', { qos: 1 });
  const [on, wrong] = await Promise.all([
    hub.callMethod('relay', 'Switch.Set', { id: 0, on: true }),
    hub.callMethod('relay', 'Nothing.Here'),
  ]);
  assert.deepEqual(on, { status: 200, payload: { was_on: false } });
  assert.deepEqual(wrong, { status: 500, payload: { code: 404, message: 'No handler' } });
  await device.endAsync();
});

for (const protocolVersion of [4, 5] as const) {
  test(`zigbee2mqtt over MQTT ${protocolVersion}: devices on sight, bounded; availability and will; commands; desired`, async (context) => {
    const { hub, adapter, port } = await site(context);
    for (const name of ['lamp', 'hall%2Fsensor', 'third', 'fourth']) hub.addDevice(`home-${name}`);
    const coordinator = await client(port, { ...zigbee, protocolVersion });
    await coordinator.publishAsync('zigbee2mqtt/bridge/state', '{"state":"online"}', { qos: 0, retain: true });
    await coordinator.publishAsync('zigbee2mqtt/bridge/devices', '[]', { qos: 0, retain: true });
    await Promise.all([
      coordinator.publishAsync('zigbee2mqtt/lamp', '{"state":"ON","linkquality":96}', { qos: 1 }),
      coordinator.publishAsync('zigbee2mqtt/hall/sensor', '{"temperature":21.5}', { qos: 2 }),
      coordinator.publishAsync('zigbee2mqtt/third/availability', '{"state":"online"}', { qos: 1, retain: true }),
    ]);
    assert.deepEqual(hub.textsOf('home-lamp'), ['{"state":"ON","linkquality":96}']);
    assert.deepEqual(hub.textsOf('home-hall%2Fsensor'), ['{"temperature":21.5}']);
    await until('the third is there', () => hub.isConnected('home-third'));

    // One more than devicesMax: answered, not stored, and told.
    const tooMany = coordinator.publishAsync('zigbee2mqtt/fourth', '{"x":1}', { qos: 1 });
    if (protocolVersion === 5) await assert.rejects(tooMany, /Not authorized/i);
    else await tooMany;
    assert.ok(adapter.lines.some(({ text }) => text.includes('More than 3 devices behind one user')));

    await coordinator.publishAsync('zigbee2mqtt/third/availability', '{"state":"offline"}', { qos: 1, retain: true });
    await until('the third has gone', () => !hub.isConnected('home-third'));

    const heard: string[] = [];
    coordinator.on('message', (topic, payload) => heard.push(`${topic} ${payload}`));
    await coordinator.subscribeAsync(['zigbee2mqtt/+/set', 'zigbee2mqtt/+/+/set'], { qos: 1 });
    assert.equal(await hub.sendCommand('home-hall%2Fsensor', '{"calibrate":1}'), 'complete');
    hub.setDesired('home-lamp', { brightness: 100 });
    await until('both are heard', () => heard.length === 2);
    assert.deepEqual(heard, ['zigbee2mqtt/hall/sensor/set {"calibrate":1}', 'zigbee2mqtt/lamp/set {"brightness":100}']);

    // Retained state is there for the next subscription of the same user.
    await coordinator.subscribeAsync('zigbee2mqtt/bridge/#', { qos: 0 });
    await until('retained messages are heard', () => heard.length === 4);
    assert.deepEqual(heard.slice(2).sort(), [
      'zigbee2mqtt/bridge/devices []',
      'zigbee2mqtt/bridge/state {"state":"online"}',
    ]);

    coordinator.stream.destroy();
    await until(
      'its will lets all devices go',
      () => !hub.isConnected('home-lamp') && !hub.isConnected('home-hall%2Fsensor'),
    );
  });
}

test('a will that is telemetry is stored when the connection breaks, and not after DISCONNECT', async (context) => {
  const { hub, port } = await site(context);
  const password = hub.addDevice('node');
  const options: IClientOptions = {
    username: 'node',
    password,
    will: { topic: 'node/sensor/last/state', payload: Buffer.from('1'), qos: 1, retain: false },
  };
  await (await client(port, options)).endAsync();
  await until('it has gone', () => !hub.isConnected('node'));
  assert.equal(hub.messages.length, 0);
  (await client(port, options)).stream.destroy();
  await until('the will is there', () => hub.messages.length === 1);
  assert.equal(hub.messages[0].text, '{"last":1}');
});

test('wrong passwords, unknown devices and other protocols are refused, each in its version', async (context) => {
  const { hub, port } = await site(context);
  hub.addDevice('plug-1');
  const wrong = { password: Buffer.alloc(32, 7).toString('base64'), clientId: 'x' };
  await assert.rejects(client(port, { ...wrong, username: 'plug-1' }), /Bad username or password/i);
  await assert.rejects(
    client(port, { ...wrong, username: 'nobody', protocolVersion: 5 }),
    /Bad user ?name or password/i,
  );
  await assert.rejects(client(port, { ...zigbee, password: 'guess' }), /Bad username or password/i);
  const old = await MqttDriver.open({ port });
  old.socket.write(Buffer.from([0x10, 18, 0, 6, ...Buffer.from('MQIsdp'), 3, 2, 0, 60, 0, 4, ...Buffer.from('abcd')]));
  const answer = await old.next();
  assert.ok(answer.cmd === 'connack' && answer.returnCode === 1);
  await old.closed;
});

test('over TLS, with and without asking for certificates, a session is resumed', async (context) => {
  const { pem, keyPem } = await makeCertificate('localhost');
  const files = { certificateFile: path.join(folder, 'tls.pem'), keyFile: path.join(folder, 'tls.key') };
  writeFileSync(files.certificateFile, pem);
  writeFileSync(files.keyFile, keyPem);
  for (const clientCertificates of [false, true]) {
    const { hub, port } = await site(context, { listen: { port: 0, tls: files, clientCertificates } });
    const login = { username: 'd', password: Buffer.from(hub.addDevice('d')) };
    let session: Buffer | undefined;
    for (const isResumed of [false, true]) {
      const { client: device } = await MqttDriver.connect({ port, ca: pem, ...(session && { session }) }, login);
      const socket = device.socket as tls.TLSSocket;
      assert.equal(socket.isSessionReused(), isResumed);
      await device.ping();
      session = socket.getSession();
      await device.disconnect();
    }
  }
});

test('a newer connection of a client, or of a device, ends the older one', async (context) => {
  const { hub, port } = await site(context);
  const login = { username: 'plug-1', password: hub.addDevice('plug-1') };
  const first = await client(port, { ...login, clientId: 'a', protocolVersion: 5 });
  const ended = new Promise<void>((resolve) => first.once('close', () => resolve()));
  const second = await client(port, { ...login, clientId: 'b' });
  await ended;
  await second.publishAsync('tele/p/STATE', '{}', { qos: 1 });
  assert.equal(hub.messages.length, 1);
  await second.endAsync();

  const coordinator = await client(port, zigbee);
  const left = new Promise<void>((resolve) => coordinator.once('close', () => resolve()));
  const newer = await client(port, zigbee);
  await left;
  await newer.endAsync();
});

test('a thousand QoS 2 messages that come before the first PUBREL are each stored once, in order', async (context) => {
  const { hub, port } = await site(context);
  const device = await client(port, { username: 'd', password: hub.addDevice('d'), protocolVersion: 4 });
  const bodies = Array.from({ length: 1000 }, (_, at) => `{"n":${at}}`);
  await Promise.all(bodies.map((body) => device.publishAsync('tele/p/STATE', body, { qos: 2 })));
  assert.deepEqual(hub.textsOf('d'), bodies);
  await device.endAsync();
});

test('a device that the hub slows is not read, and its messages come in order afterwards', async (context) => {
  const { hub, port } = await site(context);
  const device = await client(port, { username: 'd', password: hub.addDevice('d') });
  await device.publishAsync('tele/p/STATE', '{"n":0}', { qos: 1 });
  hub.slow('d', true);
  const sent = Array.from({ length: 300 }, (_, at) =>
    device.publishAsync('tele/p/STATE', `{"n":${at + 1}}`, { qos: 1 }),
  );
  // The first one is taken, and says that no more should come; what was sent with it may be handled already.
  await until('one more is taken', () => hub.messages.length >= 2);
  hub.slow('d', false);
  await Promise.all(sent);
  assert.deepEqual(
    hub.textsOf('d'),
    Array.from({ length: 301 }, (_, at) => `{"n":${at}}`),
  );
  await device.endAsync();
});

const hostile: readonly (readonly [what: string, work: (device: MqttClient) => Promise<unknown>])[] = [
  [
    'a topic with too many levels',
    (device) => device.publishAsync('a/'.repeat(limits.mqttTopicsLevelsMax), 'x', { qos: 1 }),
  ],
  [
    'a topic that is too long',
    (device) => device.publishAsync('a'.repeat(limits.mqttTopicsTopicBytesMax + 1), 'x', { qos: 1 }),
  ],
  ['a topic of the server', (device) => device.publishAsync('$SYS/x', 'x', { qos: 1 })],
];

for (const [what, work] of hostile) {
  test(`refused, and the connection lives on: ${what}`, async (context) => {
    const { hub, port } = await site(context);
    const device = await client(port, { username: 'd', password: hub.addDevice('d'), protocolVersion: 5 });
    await assert.rejects(work(device), /Not authorized|reason/i);
    await device.publishAsync('tele/p/STATE', '{}', { qos: 1 });
    assert.equal(hub.messages.length, 1);
    await device.endAsync();
  });
}

test('subscriptions are bounded and judged one by one', async (context) => {
  const { hub, port } = await site(context);
  const { client: device } = await MqttDriver.connect(
    { port },
    { username: 'd', password: Buffer.from(hub.addDevice('d')), clientId: 'd' },
  );
  const ask = async (topics: string[]): Promise<readonly unknown[]> => {
    device.send({ cmd: 'subscribe', messageId: 1, subscriptions: topics.map((topic) => ({ topic, qos: 2 })) });
    const answer = await device.next();
    assert.ok(answer.cmd === 'suback');
    return answer.granted;
  };
  assert.deepEqual(await ask(['a/#', 'a/#/b', '$share/g/a', 'x/'.repeat(20), '+/b']), [1, 128, 128, 128, 1]);
  const granted: unknown[] = [];
  for (let at = 0; at < limits.mqttTopicsSubscriptionsMax; at += 20)
    granted.push(...(await ask(Array.from({ length: 20 }, (_, n) => `t/${at + n}`))));
  assert.equal(granted.filter((code) => code === 1).length, limits.mqttTopicsSubscriptionsMax - 2);
  device.socket.destroy();
});

test('retained messages are bounded in number and bytes; an empty one takes the previous one away', async (context) => {
  const { adapter, port } = await site(context);
  const coordinator = await client(port, zigbee);
  const big = Buffer.alloc(200_000, 0x20);
  for (let at = 0; at < 8; at++)
    await coordinator.publishAsync(`zigbee2mqtt/bridge/x${at}`, big, { qos: 1, retain: true });
  assert.equal(adapter.metrics.get('retained_refused'), 3);
  await coordinator.publishAsync('zigbee2mqtt/bridge/x0', '', { qos: 1, retain: true });
  const heard: string[] = [];
  coordinator.on('message', (topic) => heard.push(topic));
  await coordinator.subscribeAsync('zigbee2mqtt/bridge/#');
  await until('the rest is heard', () => heard.length === 4);
  assert.ok(!heard.includes('zigbee2mqtt/bridge/x0'));
  await coordinator.endAsync();
});

test('garbage, floods of half packets and silence end their own connection alone', async (context) => {
  const { hub, port } = await site(context);
  const good = await client(port, { username: 'd', password: hub.addDevice('d'), protocolVersion: 5 });
  const login = { username: 'e', password: Buffer.from(hub.addDevice('e')) };
  const entered = async (clientId: string): Promise<MqttDriver> =>
    (await MqttDriver.connect({ port }, { ...login, clientId })).client;
  let seed = 42;
  const random = (): number => {
    seed = (seed * 1103515245 + 12345) & 0x7fffffff;
    return seed;
  };
  for (let round = 0; round < 60; round++) {
    const bad = await (round % 2 === 0 ? entered(`e${round}`) : MqttDriver.open({ port }));
    const bytes = Buffer.from(Array.from({ length: 1 + (random() % 300) }, () => random() >> 7));
    bad.socket.write(bytes);
    bad.socket.end();
    await bad.closed;
  }
  const huge = await entered('huge');
  huge.socket.write(Buffer.from([0x30, 0xff, 0xff, 0xff, 0x7f]));
  await huge.closed;
  await good.publishAsync('tele/p/STATE', '{}', { qos: 1 });
  assert.equal(hub.textsOf('d').length, 1);
  await good.endAsync();
});
