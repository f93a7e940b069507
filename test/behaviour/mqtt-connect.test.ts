import assert from 'node:assert/strict';
import { test } from 'node:test';
import mqtt from 'mqtt';
import mqttPacket, { type IConnectPacket } from 'mqtt-packet';
import { limits } from '../../src/base/limits.ts';
import { HubError } from '../../src/core/errors.ts';
import { connectPacket, MqttDriver } from '../drivers/mqtt.ts';
import { openTestDoor, serveStream, signed, type TestDoor } from '../drivers/mqtt-door.ts';

const key = { deviceId: 'd1' };

/** A door with an enabled device `d1`. */
async function openDoor(): Promise<TestDoor> {
  const door = await openTestDoor();
  await door.create(key);
  return door;
}

/** The CONNACK's code, and that the connection ends behind a refusal. */
async function connect(door: TestDoor, fields: Partial<IConnectPacket>): Promise<number> {
  const { client, returnCode } = await MqttDriver.connect(door.place, fields);
  if (returnCode !== 0) await client.untilClosed();
  else client.destroy();
  return returnCode;
}

test('a device with a token of its own key is let in', async () => {
  await using door = await openDoor();
  assert.equal(await connect(door, await door.credentials(key)), 0);
});

test('a module is let in as device/module', async () => {
  await using door = await openTestDoor();
  const module = { deviceId: 'd1', moduleId: 'm1' };
  await door.create(module);
  assert.equal(await connect(door, await door.credentials(module)), 0);
});

test('protocol levels other than 3.1.1 are refused with code 1', async () => {
  await using door = await openDoor();
  for (const [protocolId, level] of [
    ['MQTT', 6],
    ['MQTT', 3],
    ['MQIsdp', 3],
  ] as const) {
    const client = await MqttDriver.open(door.place);
    const packet = mqttPacket.generate(connectPacket({ clientId: 'd1' }));
    const name = Buffer.from(protocolId);
    const body = Buffer.concat([Buffer.from([0, name.length]), name, Buffer.from([level]), packet.subarray(9)]);
    client.send(Buffer.concat([Buffer.from([0x10, body.length]), body]));
    assert.equal((await client.next('connack')).returnCode, 1, `${protocolId} ${level}`);
    await client.untilClosed();
  }
});

test('a client of MQTT 5 is refused in its own form', async () => {
  await using door = await openDoor();
  const client = mqtt.connect({ port: door.place.port, host: '127.0.0.1', protocolVersion: 5, reconnectPeriod: 0 });
  const error = await new Promise((resolve) => client.once('error', resolve));
  client.end(true);
  assert.equal((error as { code?: number }).code, 0x84);
});

test('a client id that is not the identity of the user name is refused with code 2', async () => {
  await using door = await openDoor();
  const known = await door.credentials(key);
  for (const clientId of ['', 'D1', 'd2', 'd1/m1'])
    assert.equal(await connect(door, { ...known, clientId }), 2, clientId);
});

test('before authentication every refusal has the same bytes, and the log says which it was', async () => {
  await using door = await openDoor();
  await door.create({ deviceId: 'd2' });
  await door.create({ deviceId: 'off' });
  const off = await door.credentials({ deviceId: 'off' });
  await door.hub.registry.put(door.owner, { deviceId: 'off', status: 'disabled' }, '*');
  const good = await door.credentials(key);
  const wrongKey = signed('localhost/devices/d1', Buffer.alloc(32).toString('base64'), door.clock.now() + 60_000);
  const cases: readonly (readonly [check: string, fields: Partial<IConnectPacket>])[] = [
    ['wrong-key', { ...good, password: Buffer.from(wrongKey) }],
    ['wrong-key', { ...good, password: Buffer.from(await door.token({ deviceId: 'd2' })) }],
    ['wrong-resource', { ...good, password: Buffer.from(await door.token(key, { resource: 'localhost/devices/d2' })) }],
    ['unknown-identity', { ...good, clientId: 'dx', username: 'localhost/dx/?api-version=2021-04-12' }],
    ['disabled-identity', off],
    ['expired-token', await door.credentials(key, { lifeMs: -limits.clockSkewMs - 1000 })],
    ['malformed-token', { ...good, password: Buffer.from('SharedAccessSignature nonsense') }],
    ['missing-credential', { ...good, password: undefined }],
    ['malformed-user-name', { ...good, username: 'd1' }],
  ];
  for (const [check, fields] of cases) {
    const client = await MqttDriver.open(door.place);
    client.send(connectPacket(fields));
    await client.untilClosed();
    assert.deepEqual([...Buffer.concat(client.chunks)], [0x20, 2, 0, 5], check);
    const said = door.lines.filter((line) => line.includes('refused')).at(-1);
    assert.ok(said?.includes(`"check":"${check}"`), `${check}: ${said}`);
  }
  const secrets = [wrongKey, ...cases.map(([, { password }]) => password?.toString() ?? '')]
    .map((token) => /sig=([^&]*)/.exec(token)?.[1])
    .filter((signature) => signature !== undefined);
  assert.ok(secrets.length >= 6);
  for (const secret of secrets) assert.ok(!door.lines.join('\n').includes(secret), 'no signature in the log');
});

test('a hub that cannot look up the device says code 3, so that it comes again', async () => {
  await using door = await openDoor();
  const known = await door.credentials(key);
  const { authentication } = door.hub;
  for (const error of [new HubError('ServiceUnavailable'), new HubError('ThrottlingException'), new Error('a bug')]) {
    const broken = { ...door.hub, authentication: { ...authentication, device: () => Promise.reject(error) } };
    assert.equal(await connectTo(broken, known), 3, error.message);
  }
});

test('a hub that cannot load the session says code 3 and gives the place back', async () => {
  await using door = await openDoor();
  const known = await door.credentials(key);
  const load = (): Promise<never> => Promise.reject(new Error('the disk is gone'));
  const broken = { ...door.hub, subscriptions: { ...door.hub.subscriptions, load } };
  assert.equal(await connectTo(broken, { ...known, clean: false }), 3);
  assert.equal((await door.hub.presence.state(key)).connected, false);
});

/** Connects to a second door on another hub value. */
async function connectTo(hub: TestDoor['hub'], fields: Partial<IConnectPacket>): Promise<number> {
  const { openMqttDoor } = await import('../../src/protocols/mqtt/server.ts');
  const other = await openMqttDoor(hub, { name: 'mqttPort', port: 0, addresses: ['127.0.0.1'] });
  const { client, returnCode } = await MqttDriver.connect({ port: other.port }, fields);
  await client.untilClosed();
  await other.stopAccepting();
  await other.drain();
  return returnCode;
}

test('a will for anything but the own telemetry topic is refused', async () => {
  await using door = await openDoor();
  const known = await door.credentials(key);
  for (const topic of ['devices/d2/messages/events/', 'will', '$iothub/twin/GET/?$rid=1']) {
    const will = { topic, payload: Buffer.from('x'), qos: 1, retain: false } as const;
    assert.equal(await connect(door, { ...known, will }), 5, topic);
  }
});

test('packets that were sent behind the CONNECT are handled after its CONNACK', async () => {
  await using door = await openDoor();
  const client = await MqttDriver.open(door.place);
  client.send(
    Buffer.concat([
      mqttPacket.generate(connectPacket(await door.credentials(key))),
      mqttPacket.generate({ cmd: 'pingreq' }),
      mqttPacket.generate({ cmd: 'disconnect' }),
    ]),
  );
  assert.equal((await client.next('connack')).returnCode, 0);
  await client.next('pingresp');
  await client.untilClosed();
});

test('a first packet that is not a CONNECT closes the connection without an answer', async () => {
  await using door = await openDoor();
  for (const bytes of [
    Buffer.from([0xc0, 0]),
    Buffer.from('GET / HTTP/1.1\r\n'),
    Buffer.from([0x11, 0]),
    Buffer.from([0]),
  ]) {
    const client = await MqttDriver.open(door.place);
    client.send(bytes);
    await client.untilClosed();
    assert.deepEqual(client.chunks, []);
  }
});

test('a second CONNECT closes the connection', async () => {
  await using door = await openDoor();
  const client = await door.device('d1');
  client.send(connectPacket(await door.credentials(key)));
  await client.untilClosed();
  assert.deepEqual(client.unread, []);
});

test('a CONNECT over its limit is refused by its length alone', async () => {
  await using door = await openDoor();
  const client = await MqttDriver.open(door.place);
  client.send(Buffer.from([0x10, 0xff, 0xff, 0x7f]));
  await client.untilClosed();
});

test('a peer that does not finish its CONNECT in time is cut off, however it drips', async () => {
  await using door = await openDoor();
  const peer = serveStream(door);
  const bytes = mqttPacket.generate(connectPacket(await door.credentials(key)));
  const drip = async (from: number, to: number): Promise<void> => {
    peer.stream.write(bytes.subarray(from, to));
    await new Promise((resolve) => setImmediate(resolve));
  };
  await drip(0, 20);
  door.clock.advance(limits.handshakeMs - 1000);
  await drip(20, 21);
  assert.equal(peer.ended, false);
  door.clock.advance(1000 + limits.mqttPulseMs);
  await drip(21, bytes.length);
  assert.deepEqual([peer.ended, peer.writes], [true, []]);
  assert.ok(door.lines.some((line) => line.includes('handshake timeout')));
});
