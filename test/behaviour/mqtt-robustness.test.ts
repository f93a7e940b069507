import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import mqtt from 'mqtt';
import mqttPacket from 'mqtt-packet';
import { limits } from '../../src/base/limits.ts';
import { seededRandom } from '../../src/base/random.ts';
import { connectPacket, publishPacket } from '../drivers/mqtt.ts';
import { openTestDoor, serveStream as serve } from '../drivers/mqtt-door.ts';
import { until } from '../drivers/until.ts';

const topic = 'devices/d1/messages/events/';
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('PUBACKs of one batch are one write', async () => {
  await using door = await openTestDoor({ durable: 'byHand' });
  await door.create({ deviceId: 'd1' });
  const { stream, writes } = serve(door);
  stream.write(mqttPacket.generate(connectPacket(await door.credentials({ deviceId: 'd1' }))));
  await until('one write', () => writes.length === 1, { everyMs: 1 });
  for (const messageId of [1, 2, 3]) stream.write(mqttPacket.generate(publishPacket({ topic, qos: 1, messageId })));
  await door.untilSent(3);
  await turn();
  await door.log.commit();
  assert.deepEqual(
    writes.slice(1).map((bytes) => [...bytes]),
    [[0x40, 2, 0, 1, 0x40, 2, 0, 2, 0x40, 2, 0, 3]],
  );
  stream.destroy();
});

test('pings that come together are answered together, a share in each turn of the event loop', async () => {
  await using door = await openTestDoor();
  await door.create({ deviceId: 'd1' });
  const { stream, writes } = serve(door);
  stream.write(mqttPacket.generate(connectPacket(await door.credentials({ deviceId: 'd1' }))));
  await until('one write', () => writes.length === 1, { everyMs: 1 });
  const count = 3 * limits.mqttPacketsPerTurn;
  const ping = mqttPacket.generate({ cmd: 'pingreq' });
  stream.write(Buffer.concat(Array.from({ length: count }, () => ping)));
  const bytes = (): number => writes.slice(1).reduce((sum, { length }) => sum + length, 0);
  let most = 0;
  for (let before = bytes(); bytes() < 2 * count; before = bytes()) {
    await turn();
    most = Math.max(most, bytes() - before);
  }
  assert.deepEqual(Buffer.concat(writes.slice(1)), Buffer.alloc(2 * count, Buffer.of(0xd0, 0)));
  assert.ok(most <= 2 * limits.mqttPacketsPerTurn, `${most / 2} answers in one turn`);
  assert.ok(writes.length - 1 <= 4, `${writes.length - 1} writes`);
  stream.destroy();
});

test('a conversation gives the same answers wherever its bytes are split', async () => {
  await using door = await openTestDoor();
  await door.create({ deviceId: 'd1' });
  const conversation = Buffer.concat([
    mqttPacket.generate(connectPacket(await door.credentials({ deviceId: 'd1' }))),
    mqttPacket.generate({
      cmd: 'subscribe',
      messageId: 1,
      subscriptions: [{ topic: '$iothub/methods/POST/#', qos: 1 }],
    }),
    mqttPacket.generate(publishPacket({ topic: `${topic}a=b`, payload: Buffer.from('body'), qos: 1, messageId: 2 })),
    mqttPacket.generate({ cmd: 'pingreq' }),
    mqttPacket.generate({ cmd: 'unsubscribe', messageId: 3, unsubscriptions: ['$iothub/methods/POST/#'] }),
  ]);
  const expected = [0x20, 0x90, 0x40, 0xd0, 0xb0];
  for (let at = 0; at <= conversation.length; at++) {
    const { stream, writes } = serve(door);
    stream.write(conversation.subarray(0, at));
    await turn();
    stream.write(conversation.subarray(at));
    await until('every write', () => writes.length === expected.length, { everyMs: 1 });
    assert.deepEqual(new Set(writes.map((bytes) => bytes[0])), new Set(expected), `split at ${at}`);
    stream.destroy();
    await turn();
  }
  assert.equal(door.sent.length, conversation.length + 1);
});

test('connections whose packets come in pieces, by turns, get each its own', async () => {
  await using door = await openTestDoor();
  const ids = ['d1', 'd2', 'd3'];
  const talks = await Promise.all(
    ids.map(async (deviceId) => {
      await door.create({ deviceId });
      const topicOwn = `devices/${deviceId}/messages/events/`;
      const bytes = Buffer.concat([
        mqttPacket.generate({ ...connectPacket(await door.credentials({ deviceId })), clientId: deviceId }),
        mqttPacket.generate(publishPacket({ topic: topicOwn, payload: Buffer.from(deviceId), qos: 1, messageId: 7 })),
        mqttPacket.generate({ cmd: 'pingreq' }),
      ]);
      return { bytes, ...serve(door) };
    }),
  );
  const longest = Math.max(...talks.map(({ bytes }) => bytes.length));
  for (let at = 0; at < longest; at += 3) {
    for (const { stream, bytes } of talks) if (at < bytes.length) stream.write(bytes.subarray(at, at + 3));
    await turn();
  }
  for (const { stream, writes } of talks) {
    await until('three writes', () => writes.length === 3, { everyMs: 1 });
    assert.deepEqual(new Set(writes.map((bytes) => bytes[0])), new Set([0x20, 0x40, 0xd0]));
    stream.destroy();
  }
});

test('arbitrary bytes before the CONNECT end the connection or wait, and the door lives', async () => {
  await using door = await openTestDoor();
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 400 }), async (bytes) => {
      const { stream, writes } = serve(door);
      stream.write(Buffer.from(bytes));
      await turn();
      assert.ok(writes.every((answer) => answer[0] === 0x20));
      stream.destroy();
    }),
    { numRuns: 500 },
  );
  const client = await door.device('d1');
  await client.ping();
  client.destroy();
});

test('damaged packets of a connected device end its connection or are answered, and the door lives', async () => {
  await using door = await openTestDoor();
  await door.create({ deviceId: 'd1' });
  const credentials = await door.credentials({ deviceId: 'd1' });
  const packets = [
    mqttPacket.generate({
      cmd: 'subscribe',
      messageId: 1,
      subscriptions: [{ topic: '$iothub/methods/POST/#', qos: 1 }],
    }),
    mqttPacket.generate(publishPacket({ topic: `${topic}a=b`, payload: Buffer.from('body'), qos: 1, messageId: 2 })),
    mqttPacket.generate({ cmd: 'unsubscribe', messageId: 3, unsubscriptions: ['x'] }),
    mqttPacket.generate(publishPacket({ topic: '$iothub/twin/GET/?$rid=1' })),
    mqttPacket.generate({ cmd: 'puback', messageId: 3 }),
    mqttPacket.generate({ cmd: 'pingreq' }),
  ];
  const seed = 20_260_101;
  const random = seededRandom(seed);
  const pick = (count: number): number => Math.floor(random.next() * count);
  for (let run = 0; run < 500; run++) {
    const peer = serve(door);
    peer.stream.write(mqttPacket.generate(connectPacket(credentials)));
    await until('a write', () => peer.writes.length > 0, { everyMs: 1 });
    const chosen = Array.from({ length: 1 + pick(4) }, () => packets[pick(packets.length)]);
    // Every other time the fast path is at work before the damage.
    if (run % 2 === 0) peer.stream.write(Buffer.concat([packets[1], packets[1]]));
    const bytes = Buffer.concat(run % 2 === 0 ? [packets[1], ...chosen] : chosen);
    for (let flip = pick(4); flip >= 0; flip--) bytes[pick(bytes.length)] = pick(256);
    const cut = pick(bytes.length);
    peer.stream.write(bytes.subarray(0, cut));
    await turn();
    peer.stream.write(bytes.subarray(cut));
    await turn();
    peer.stream.destroy();
  }
  const broken = door.lines.filter((line) => line.includes('could not be handled') || line.includes('could not serve'));
  assert.deepEqual(broken, [], `seed ${seed}`);
  const client = await door.device('d1');
  await client.ping();
  client.destroy();
});

test('a peer that sends and does not read is not read any more, and ends by its keep alive', async () => {
  await using door = await openTestDoor();
  const client = await door.device('d1', { keepalive: 10 });
  client.socket.pause();
  const pings = Buffer.alloc(64 * 1024);
  for (let at = 0; at < pings.length; at += 2) pings[at] = 0xc0;
  let accepted = 0;
  // Until the hub has stopped reading and the machine's own buffers are full: some megabytes, of which the hub takes a share
  // in each turn, and of which this side hears when half of them have been taken.
  const sharesOf = (bytes: number): number => bytes / 2 / limits.mqttPacketsPerTurn;
  for (let quiet = 0; quiet < sharesOf(16 * 1024 * 1024); ) {
    if (client.socket.writableLength < 1024 * 1024) {
      client.send(pings);
      accepted += pings.length;
      quiet = 0;
    } else quiet++;
    await turn();
    assert.ok(accepted < 256 * 1024 * 1024, 'the hub reads without end');
  }
  door.clock.advance(16_000);
  client.socket.resume();
  await client.untilClosed();
});

test('the npm client publishes, subscribes and comes back to its session', async () => {
  await using door = await openTestDoor();
  await door.create({ deviceId: 'd1' });
  const options = { ...(await door.credentials({ deviceId: 'd1' })), clean: false, reconnectPeriod: 0 };
  const url = `mqtt://127.0.0.1:${door.place.port}`;
  const first = await mqtt.connectAsync(url, options);
  await first.subscribeAsync('devices/d1/messages/devicebound/#', { qos: 1 });
  await Promise.all(Array.from({ length: 200 }, (_, at) => first.publishAsync(`${topic}n=${at}`, `${at}`, { qos: 1 })));
  await first.endAsync();
  assert.deepEqual(
    door.sent.map(({ body, properties }) => [body.toString(), properties[0][1]]),
    Array.from({ length: 200 }, (_, at) => [`${at}`, `${at}`]),
  );
  const present = new Promise((resolve) => {
    const second = mqtt.connect(url, options);
    second.once('connect', ({ sessionPresent }) => {
      resolve(sessionPresent);
      second.end(true);
    });
  });
  assert.equal(await present, true);
});

test('a thousand connections come and go', async () => {
  await using door = await openTestDoor();
  await Promise.all(Array.from({ length: 20 }, (_, at) => door.create({ deviceId: `d${at}` })));
  for (let round = 0; round < 50; round++) {
    const clients = await Promise.all(Array.from({ length: 20 }, (_, at) => door.device(`d${at}`)));
    assert.equal(clients.length, 20);
    for (const [at, client] of clients.entries()) {
      if (at % 2 === 0) client.destroy();
      else await client.disconnect();
    }
  }
  await until('no connection is left', () => door.door.connections() === 0, { everyMs: 1 });
  assert.equal(await door.hub.presence.connectedDevices(), 0);
});
