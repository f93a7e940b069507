/** What happens between devices and the hub, as a back end reads it from `<hub>-monitoring`. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { limits } from '../../src/base/limits.ts';
import { connectFleetDevice, NotLetIn, sendByHttp, ways } from '../drivers/fleet.ts';
import { startHub, type TestHub } from '../drivers/hub.ts';
import { devicePlace, MonitoringReader, tokenOf, withDevice } from '../drivers/monitoring.ts';
import { MqttDriver } from '../drivers/mqtt.ts';

let hub: TestHub;
let reader: MonitoringReader;
before(async () => {
  hub = await startHub();
  reader = await MonitoringReader.open(hub);
});
after(async () => {
  await reader.close();
  await hub[Symbol.asyncDispose]();
});

test('a start, a connection and its end are told, joined and numbered', async () => {
  const started = await reader.next((event) => event.type === 'hubStarted');
  assert.equal(started.schemaVersion, 1);
  const device = await withDevice(hub, 'stream-1');
  await reader.next((event) => event.type === 'identityCreated' && event.deviceId === 'stream-1');
  const { client, returnCode } = await MqttDriver.connect(devicePlace(hub), await device.connect());
  assert.equal(returnCode, 0);
  const connected = await reader.next((event) => event.type === 'connected' && event.deviceId === 'stream-1');
  assert.equal(connected.protocol, 'mqtt');
  assert.equal(connected.credential, 'sas');
  assert.equal(connected.peer, '127.0.0.1');
  await client.disconnect();
  const ended = await reader.next((event) => event.type === 'disconnected' && event.deviceId === 'stream-1');
  assert.equal(ended.reason, 'by-client');
  assert.equal(ended.correlationId, connected.correlationId);
  assert.equal(ended.sequenceNumber, connected.sequenceNumber + 1);
  assert.ok(Math.abs(Date.parse(ended.time) - Date.now()) < 60_000);
});

test('the message says what it is before its body is read', async () => {
  const device = await withDevice(hub, 'stream-2');
  const { client } = await MqttDriver.connect(devicePlace(hub), await device.connect());
  const message = await reader.nextMessage((event) => event.type === 'connected' && event.deviceId === 'stream-2');
  client.destroy();
  assert.deepEqual(message.properties, { type: 'connected', deviceId: 'stream-2' });
  assert.equal(message.system.contentType, 'application/json');
  assert.equal(message.system['iothub-message-source'], 'monitoringEvents');
  assert.equal(message.deviceId, 'stream-2');
  const lost = await reader.next((event) => event.type === 'disconnected' && event.deviceId === 'stream-2');
  assert.equal(lost.reason, 'connection-lost');
});

test('the newer connection of a device ends the older, in this order', async () => {
  const device = await withDevice(hub, 'stream-3');
  const first = await MqttDriver.connect(devicePlace(hub), await device.connect());
  const second = await MqttDriver.connect(devicePlace(hub), await device.connect());
  await first.client.untilClosed();
  const told = await reader.take(3, (event) => event.deviceId === 'stream-3' && event.type !== 'identityCreated');
  assert.deepEqual(
    told.map(({ type, reason }) => [type, reason]),
    [
      ['connected', undefined],
      ['disconnected', 'taken-over'],
      ['connected', undefined],
    ],
  );
  assert.equal(told[0].correlationId, told[1].correlationId);
  await second.client.disconnect();
});

test('disabled, enabled, changed, deleted: the registry’s changes and what they end', async () => {
  const device = await withDevice(hub, 'stream-4');
  const { client } = await MqttDriver.connect(devicePlace(hub), await device.connect());
  await device.put({ status: 'disabled', statusReason: 'on holiday' });
  await client.untilClosed();
  const refused = await MqttDriver.connect(devicePlace(hub), await device.connect());
  assert.equal(refused.returnCode, 5);
  await device.put({ status: 'enabled' });
  await device.put({ status: 'enabled' });
  await device.delete();
  const told = await reader.take(8, (event) => event.deviceId === 'stream-4');
  assert.deepEqual(
    told.map(({ type }) => type),
    [
      'identityCreated',
      'connected',
      'identityDisabled',
      'disconnected',
      'authenticationFailed',
      'identityEnabled',
      'identityChanged',
      'identityDeleted',
    ],
  );
  assert.equal(told[2].statusReason, 'on holiday');
  assert.equal(told[3].reason, 'disabled');
  assert.equal(told[4].check, 'disabled-identity');
});

test('each failed authentication says which check failed, and never holds the token', async () => {
  const device = await withDevice(hub, 'stream-5');
  const wrongKey = await tokenOf('stream-5', Buffer.alloc(32, 7).toString('base64'), hub.endpoints.hostName);
  const expired = await device.token(Date.now() - 3600_000);
  const cases = [
    ['stream-5', wrongKey, 'wrong-key'],
    ['stream-5', expired, 'expired-token'],
    ['stream-5', 'no token at all', 'malformed-token'],
    ['stream-none', wrongKey, 'unknown-identity'],
  ] as const;
  for (const [deviceId, token, check] of cases) {
    const { returnCode } = await MqttDriver.connect(devicePlace(hub), await device.connect({ deviceId, token }));
    assert.equal(returnCode, 5);
    const message = await reader.nextMessage(
      (event) => event.type === 'authenticationFailed' && event.deviceId === deviceId && event.check === check,
    );
    const text = JSON.stringify(message);
    assert.ok(!text.includes('sig=') && !text.includes(encodeURIComponent(token.slice(-20))), text);
  }
});

test('a refused token is told with the device that it speaks for, over AMQP and HTTP as well', async () => {
  await withDevice(hub, 'stream-claimed');
  const stranger = { id: 'stream-claimed', key: Buffer.alloc(32).toString('base64'), shown: undefined };
  for (const way of ways.filter(({ credential, protocol }) => credential === 'sas' && !protocol.startsWith('mqtt'))) {
    const attempt = way.protocol === 'http' ? sendByHttp : connectFleetDevice;
    await assert.rejects(attempt(hub, { ...stranger, way }), NotLetIn);
  }
  // The first of a source is told at once, the others as their sum.
  const isRefusal = ({ type, deviceId }: { readonly type: string; readonly deviceId?: string }): boolean =>
    type === 'authenticationFailed' && deviceId === 'stream-claimed';
  const told = await reader.until(
    (all) => all.filter(isRefusal).reduce((sum, { count }) => sum + Number(count), 0) === 3,
  );
  for (const { check } of told.filter(isRefusal)) assert.equal(check, 'wrong-key');
});

test('a connection that ends for a mistyped topic or filter says which one', async () => {
  const device = await withDevice(hub, 'typo');
  const ended = async (break_: (client: MqttDriver) => void): Promise<unknown> => {
    const { client } = await MqttDriver.connect(devicePlace(hub), await device.connect());
    break_(client);
    await client.untilClosed();
    const told = await reader.next((event) => event.type === 'disconnected' && event.deviceId === 'typo');
    assert.equal(told.reason, 'protocol-error');
    return told.detail;
  };
  const publish = (topic: string) => (client: MqttDriver) =>
    client.send({ cmd: 'publish', topic, payload: 'x', qos: 0, dup: false, retain: false });
  assert.equal(
    await ended(publish('device/typo/messages/events/')),
    'a topic that the device may not publish to: "device/typo/messages/events/"',
  );
  const odd = String(await ended(publish(`devices/${'\u001b[31m'.repeat(200)}`)));
  assert.ok(odd.length <= 257 && odd.includes('"devices/\\u001b[31m'), odd);
  assert.equal(
    await ended((client) =>
      client.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'devices/typo/messages/#', qos: 0 }] }),
    ),
    'a filter that is none of the documented ones: "devices/typo/messages/#"',
  );
  const topic = 'devices/typo/messages/events/';
  const send = (payload: string | Buffer, bag = '') =>
    ended((client) => client.publish({ topic: `${topic}${bag}`, qos: 1, messageId: 1, payload }));
  assert.equal(
    await send(Buffer.alloc(limits.telemetryBytesMax + 1)),
    `MessageTooLarge: telemetryBytesMax: "${topic}"`,
  );
  const bag = Array.from({ length: 101 }, (_, n) => `p${n}=v`).join('&');
  assert.match(String(await send('x', bag)), /^\w+: messagePropertiesMax: "devices\/typo\/messages\/events\/p0=v&/);
  assert.match(String(await send(Buffer.alloc(limits.mqttPacketBytesMax))), /^a packet of \d+ bytes.*: "devices\/typo/);
  assert.match(hub.stderr(), /a topic that the device may not publish to[^\n]*device\/typo\/messages\/events/);
});
