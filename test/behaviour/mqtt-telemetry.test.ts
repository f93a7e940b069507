import assert from 'node:assert/strict';
import { test } from 'node:test';
import mqttPacket from 'mqtt-packet';
import { limits } from '../../src/base/limits.ts';
import { MqttConnection } from '../../src/protocols/mqtt/connection.ts';
import { connectPacket, MqttDriver, publishPacket } from '../drivers/mqtt.ts';
import { openTestDoor, serveStream } from '../drivers/mqtt-door.ts';
import { until } from '../drivers/until.ts';

const topic = 'devices/d1/messages/events/';

test('a message arrives with its properties, and is acknowledged', async () => {
  await using door = await openTestDoor();
  const client = await door.device('d1');
  client.publish({ topic: `${topic}%24.mid=m1&a%20b=c%2Bd`, payload: Buffer.from('{"t":1}'), qos: 1, messageId: 9 });
  assert.equal((await client.next('puback')).messageId, 9);
  assert.deepEqual(door.sent, [
    { system: { messageId: 'm1' }, properties: [['a b', 'c+d']], body: Buffer.from('{"t":1}') },
  ]);
  client.destroy();
});

test('at QoS 0 a message arrives and is not acknowledged', async () => {
  await using door = await openTestDoor();
  const client = await door.device('d1');
  client.publish({ topic, payload: Buffer.from('x') });
  await client.ping();
  assert.equal(door.sent.length, 1);
  assert.deepEqual(client.unread, []);
  client.destroy();
});

test('there is no PUBACK before the disk has the message', async () => {
  await using door = await openTestDoor({ durable: 'byHand' });
  const client = await door.device('d1');
  client.publish({ topic, qos: 1, messageId: 1 });
  await client.ping();
  assert.equal(door.sent.length, 1);
  assert.deepEqual(client.unread, []);
  await door.log.commit();
  assert.equal((await client.next('puback')).messageId, 1);
  client.destroy();
});

test('PUBACKs of one batch leave in one write, in order of arrival', async () => {
  await using door = await openTestDoor({ durable: 'byHand' });
  const client = await door.device('d1');
  for (const messageId of [5, 3, 9, 1]) client.publish({ topic, qos: 1, messageId });
  await client.ping();
  client.chunks.length = 0;
  await door.log.commit();
  for (const messageId of [5, 3, 9, 1]) assert.equal((await client.next('puback')).messageId, messageId);
  assert.equal(client.chunks.length, 1);
  client.destroy();
});

test('twin and method messages at QoS 1 keep their place among the PUBACKs', async () => {
  await using door = await openTestDoor({ durable: 'byHand' });
  const client = await door.device('d1');
  client.publish({ topic: '$iothub/twin/GET/?$rid=1', qos: 1, messageId: 1 });
  assert.equal((await client.next('puback')).messageId, 1, 'nothing is before it');
  client.publish({ topic, qos: 1, messageId: 2 });
  client.publish({ topic: '$iothub/twin/GET/?$rid=2', qos: 1, messageId: 3 });
  client.publish({ topic: '$iothub/methods/res/200/?$rid=2', qos: 1, messageId: 4 });
  client.publish({ topic, qos: 1, messageId: 5 });
  await client.ping();
  assert.deepEqual(client.unread, []);
  await door.log.commit();
  for (const messageId of [2, 3, 4, 5]) assert.equal((await client.next('puback')).messageId, messageId);
  client.destroy();
});

test('each batch acknowledges its own messages and no later ones', async () => {
  await using door = await openTestDoor({ durable: 'byHand', batchBytesMax: 600 });
  await door.create({ deviceId: 'd1' });
  const { stream, writes } = serveStream(door);
  stream.write(mqttPacket.generate(connectPacket(await door.credentials({ deviceId: 'd1' }))));
  await until('a write', () => writes.length > 0, { everyMs: 1 });
  for (const messageId of [1, 2]) stream.write(mqttPacket.generate(publishPacket({ topic, qos: 1, messageId })));
  await door.untilSent(2);
  assert.equal(door.log.writer.batch, 2, 'one record fits into a batch');
  await door.log.commit();
  assert.deepEqual(
    writes.slice(1).map((bytes) => [...bytes]),
    [
      [0x40, 2, 0, 1],
      [0x40, 2, 0, 2],
    ],
  );
  stream.destroy();
});

test('when the disk fails the connection ends without a PUBACK', async () => {
  await using door = await openTestDoor({ durable: 'byHand' });
  const client = await door.device('d1');
  client.publish({ topic, qos: 1, messageId: 1 });
  await client.ping();
  door.log.failWith(new Error('no space left'));
  await door.log.commit();
  await client.untilClosed();
  assert.deepEqual(client.unread, []);
  assert.ok(door.lines.some((line) => line.includes('storage-failed') && line.includes('no space left')));
});

for (const [what, fields] of [
  ['at QoS 2', { topic, qos: 2, messageId: 1 }],
  ['on the topic of another device', { topic: 'devices/d2/messages/events/' }],
  ['on a topic that means nothing', { topic: 'telemetry' }],
  ['over 256 KB', { topic, payload: Buffer.alloc(limits.telemetryBytesMax + 1), qos: 1, messageId: 1 }],
  ['with too many properties', { topic: `${topic}${Array.from({ length: 101 }, (_, at) => `p${at}=1`).join('&')}` }],
] as const) {
  test(`a message ${what} ends the connection`, async () => {
    await using door = await openTestDoor();
    const client = await door.device('d1');
    client.publish(fields);
    await client.untilClosed();
    assert.deepEqual([client.unread, door.sent], [[], []]);
    assert.ok(door.lines.some((line) => line.includes('protocol-error')));
  });
}

test('a packet over its limit ends the connection by its length alone', async () => {
  await using door = await openTestDoor();
  const client = await door.device('d1');
  client.send(Buffer.from([0x32, 0xff, 0xff, 0xff, 0x7f]));
  await client.untilClosed();
});

test('retain is handed on as a property', async () => {
  await using door = await openTestDoor();
  const client = await door.device('d1');
  client.publish({ topic, retain: true });
  await client.ping();
  assert.deepEqual(door.sent[0].properties, [['mqtt-retain', 'true']]);
  client.destroy();
});

const will = { topic: `${topic}a=1`, payload: Buffer.from('gone'), qos: 1, retain: false } as const;
const willEvent = {
  system: {},
  properties: [
    ['a', '1'],
    ['iothub-MessageType', 'Will'],
  ],
  body: Buffer.from('gone'),
};

test('the will of a connection that broke becomes an event', async () => {
  await using door = await openTestDoor();
  (await door.device('d1', { will })).destroy();
  await door.untilSent(1);
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(door.sent, [willEvent]);
});

test('a will keeps its bytes while more come in before the CONNECT is accepted', async () => {
  await using door = await openTestDoor();
  await door.create({ deviceId: 'd1' });
  const answers: Buffer[] = [];
  const nothing = (): void => {};
  const link = {
    congested: false,
    write: (bytes: Buffer) => answers.push(bytes) > 0,
    pause: nothing,
    resume: nothing,
    nextTurn: (begin: () => void): void => void setImmediate(begin),
    end: nothing,
  };
  const session = new MqttConnection(door.hub, { ...link, destroy: nothing }, { protocol: 'mqtt', peer: '' });
  const bytes = mqttPacket.generate(connectPacket({ ...(await door.credentials({ deviceId: 'd1' })), will }));
  session.receive(bytes.subarray(0, 10));
  const ping = Buffer.from([0xc0, 0]);
  session.receive(Buffer.concat([bytes.subarray(10), ping]));
  // All in one turn of the loop, so that the reader's memory is used again before the device is let in.
  for (let at = 1; at < 1000; at++) session.receive(ping);
  // The CONNACK and a thousand PINGRESPs, of which those that came together leave together.
  await until('every answer', () => Buffer.concat(answers).length >= 4 + 1000 * ping.length, { everyMs: 1 });
  session.ended();
  assert.deepEqual(door.sent, [willEvent]);
});

test('the will of a connection that the hub ends for its fault becomes an event', async () => {
  await using door = await openTestDoor();
  const client = await door.device('d1', { will });
  client.send(Buffer.from([0xc0, 1, 0]));
  await client.untilClosed();
  assert.deepEqual(door.sent, [willEvent]);
});

test('the will of a connection that ends with its token becomes an event, also of a device that has sent nothing', async () => {
  await using door = await openTestDoor();
  await door.create({ deviceId: 'd1' });
  const fields = { ...(await door.credentials({ deviceId: 'd1' }, { lifeMs: 1000 })), will, keepalive: 600 };
  const { client, returnCode } = await MqttDriver.connect(door.place, fields);
  assert.equal(returnCode, 0);
  door.clock.advance(limits.clockSkewMs + 2000);
  await client.untilClosed();
  assert.ok(door.lines.some((line) => line.includes('token-expired')));
  assert.deepEqual(door.sent, [willEvent]);
});

test('the will of a device that says good-bye is forgotten', async () => {
  await using door = await openTestDoor();
  await (await door.device('d1', { will })).disconnect();
  assert.deepEqual(door.sent, []);
});

test('the will of a device that may not send any more is forgotten', async () => {
  await using door = await openTestDoor();
  const client = await door.device('d1', { will });
  await door.hub.registry.put(door.owner, { deviceId: 'd1', status: 'disabled' }, '*');
  await client.untilClosed();
  assert.deepEqual(door.sent, []);
});

test('a device with too many unacknowledged messages is not read until the disk has them', async () => {
  await using door = await openTestDoor({ durable: 'byHand' });
  const client = await door.device('d1');
  const count = limits.mqttInflightMax + 200;
  for (let at = 1; at <= count; at++) client.publish({ topic, qos: 1, messageId: at });
  await door.untilSent(limits.mqttInflightMax);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(door.sent.length, limits.mqttInflightMax);
  await door.log.commit();
  await door.untilSent(count);
  await door.log.commit();
  for (let at = 1; at <= count; at++) assert.equal((await client.next('puback')).messageId, at);
  client.destroy();
});

test('while the log is congested no device is read, and all is taken up afterwards', async () => {
  await using door = await openTestDoor({ durable: 'byHand', writerBytesMax: 100 });
  const client = await door.device('d1');
  const packets = [1, 2, 3].map((messageId) => mqttPacket.generate(publishPacket({ topic, qos: 1, messageId })));
  client.send(Buffer.concat(packets));
  await door.untilSent(1);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(door.sent.length, 1);
  await door.log.commit();
  for (const messageId of [1, 2, 3]) assert.equal((await client.next('puback')).messageId, messageId);
  client.destroy();
});
