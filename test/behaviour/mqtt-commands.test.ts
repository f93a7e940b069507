/** Commands over MQTT: what a device sees of them, and what becomes of them (device reference 2.4, 2.9). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { IPublishPacket } from 'mqtt-packet';
import { limits } from '../../src/base/limits.ts';
import type { Command, CommandMessage } from '../../src/core/commands/types.ts';
import type { IdentityKey } from '../../src/core/identity/types.ts';
import { MqttDriver } from '../drivers/mqtt.ts';
import { openTestDoor, type TestDoor } from '../drivers/mqtt-door.ts';

const key = { deviceId: 'd1' };
const filter = 'devices/d1/messages/devicebound/#';
const topic = 'devices/d1/messages/devicebound/';
const to = '%24.to=%2Fdevices%2Fd1%2Fmessages%2Fdevicebound';

async function openDoor(): Promise<TestDoor> {
  const door = await openTestDoor();
  await door.create(key);
  return door;
}

async function send(
  door: TestDoor,
  body: string | Uint8Array,
  fields: Partial<CommandMessage> = {},
  target: IdentityKey = key,
): Promise<number> {
  const message = { ack: 'none' as const, properties: [], ...fields, body: Buffer.from(body as string) };
  return (await door.hub.commands.send(door.owner, target, message)).sequence;
}

async function subscribe(client: MqttDriver, qos: 0 | 1 = 1, filters: readonly string[] = [filter]): Promise<void> {
  client.send({ cmd: 'subscribe', messageId: 1, subscriptions: filters.map((name) => ({ topic: name, qos })) });
  await client.next('suback');
}

async function receive(client: MqttDriver): Promise<IPublishPacket> {
  return (await client.next('publish')) as IPublishPacket;
}

function acknowledge(client: MqttDriver, { messageId }: IPublishPacket): void {
  client.send({ cmd: 'puback', messageId });
}

async function command(door: TestDoor, sequence: number): Promise<Command> {
  const [found] = await door.hub.commands.trail(door.owner, key, { sequence });
  return found.command;
}

/** What the command queue says of a command, once it says what is awaited. */
async function until(door: TestDoor, sequence: number, state: string): Promise<void> {
  for (let turn = 0; turn < 10_000; turn++) {
    const { state: now } = await command(door, sequence);
    if ((now.kind === 'ended' ? now.outcome : now.kind) === state) return;
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.fail(`the command is ${JSON.stringify((await command(door, sequence)).state)} and not ${state}`);
}

test('a command comes with its properties in the order and spelling that every SDK reads, and PUBACK completes it', async () => {
  await using door = await openDoor();
  const client = await door.device('d1');
  await subscribe(client);
  const expiry = door.clock.now() + 60_000;
  const sequence = await send(door, 'turn', {
    messageId: 'm+1',
    correlationId: 'c/1',
    userId: 'u 1',
    contentType: 'application/json',
    contentEncoding: 'utf-8',
    expiry,
    ack: 'full',
    properties: [
      ['a', 'b c'],
      ['$d', 'e/f&g=h+i%€'],
      ['empty', ''],
    ],
  });
  const packet = await receive(client);
  assert.equal(
    packet.topic,
    `${topic}${to}&%24.mid=m%2B1&%24.cid=c%2F1&%24.uid=u%201&%24.ct=application%2Fjson&%24.ce=utf-8` +
      `&%24.exp=${encodeURIComponent(new Date(expiry).toISOString())}&iothub-ack=full` +
      '&a=b%20c&%24d=e%2Ff%26g%3Dh%2Bi%25%E2%82%AC&empty=',
  );
  assert.deepEqual([packet.qos, packet.dup, packet.retain, String(packet.payload)], [1, false, false, 'turn']);
  await until(door, sequence, 'locked');
  acknowledge(client, packet);
  await until(door, sequence, 'completed');
  client.destroy();
});

test('a command without properties still has its bag', async () => {
  await using door = await openDoor();
  const client = await door.device('d1');
  await subscribe(client);
  await send(door, '');
  const packet = await receive(client);
  assert.deepEqual([packet.topic, packet.payload.length], [topic + to, 0]);
  client.destroy();
});

test('the Java SDK is not sent properties without a value', async () => {
  await using door = await openDoor();
  const agent = encodeURIComponent('com.microsoft.azure.sdk.iot.iot-device-client/2.5.1 (x)');
  const client = await door.device('d1', {
    username: `localhost/d1/?api-version=2020-09-30&DeviceClientType=${agent}`,
  });
  await subscribe(client);
  await send(door, '', {
    properties: [
      ['empty', ''],
      ['a', 'b'],
    ],
  });
  assert.equal((await receive(client)).topic, `${topic}${to}&a=b`);
  client.destroy();
});

test('subscribed at QoS 0, a command is complete when it is written', async () => {
  await using door = await openDoor();
  const client = await door.device('d1');
  await subscribe(client, 0);
  const sequence = await send(door, 'x');
  const packet = await receive(client);
  assert.deepEqual([packet.qos, packet.dup, packet.topic], [0, false, topic + to]);
  await until(door, sequence, 'completed');
  client.destroy();
});

for (const clean of [true, false]) {
  test(`nothing is delivered before the SUBACK (CleanSession ${Number(clean)})`, async () => {
    await using door = await openDoor();
    await send(door, 'x');
    const client = await door.device('d1', { clean });
    await client.ping();
    assert.deepEqual(client.unread, []);
    // `subscribe` fails when the PUBLISH comes before the SUBACK.
    await subscribe(client);
    assert.equal(String((await receive(client)).payload), 'x');
    client.destroy();
  });
}

test('other subscriptions bring no commands', async () => {
  await using door = await openDoor();
  const client = await door.device('d1');
  await subscribe(client, 1, ['$iothub/twin/res/#', '$iothub/methods/POST/#']);
  const sequence = await send(door, 'x');
  await client.ping();
  assert.deepEqual(client.unread, []);
  assert.equal((await command(door, sequence)).handedOver, 0);
  client.destroy();
});

test('after UNSUBSCRIBE nothing is delivered, and what was delivered can still be acknowledged', async () => {
  await using door = await openDoor();
  const client = await door.device('d1');
  await subscribe(client);
  const first = await send(door, '1');
  const packet = await receive(client);
  client.send({ cmd: 'unsubscribe', messageId: 2, unsubscriptions: [filter] });
  await client.next('unsuback');
  const second = await send(door, '2');
  await client.ping();
  assert.deepEqual(client.unread, []);
  acknowledge(client, packet);
  await until(door, first, 'completed');
  assert.equal((await command(door, second)).handedOver, 0);
  await subscribe(client);
  assert.equal(String((await receive(client)).payload), '2');
  client.destroy();
});

test('the filter of Embedded C is delivered on the device’s own topic', async () => {
  await using door = await openDoor();
  const client = await door.device('d1');
  await subscribe(client, 1, ['devices/+/messages/devicebound/#']);
  await send(door, 'x');
  assert.equal((await receive(client)).topic, topic + to);
  client.destroy();
});

test('a module gets its own commands on its own topic', async () => {
  await using door = await openTestDoor();
  const module = { deviceId: 'd1', moduleId: 'm1' };
  await door.create(module);
  const { client } = await MqttDriver.connect(door.place, await door.credentials(module));
  await subscribe(client, 1, ['devices/d1/modules/m1/messages/devicebound/#']);
  await send(door, 'for the device');
  await send(door, 'for the module', {}, module);
  const packet = await receive(client);
  assert.equal(
    packet.topic,
    'devices/d1/modules/m1/messages/devicebound/%24.to=%2Fdevices%2Fd1%2Fmodules%2Fm1%2Fmessages%2Fdevicebound',
  );
  assert.equal(String(packet.payload), 'for the module');
  client.destroy();
});

test('without a PUBACK a command comes again over the next connection, marked as a repetition, under its packet id', async () => {
  await using door = await openDoor();
  const first = await door.device('d1', { clean: false });
  await subscribe(first);
  const sequences = [await send(door, '1'), await send(door, '2')];
  const lost = [await receive(first), await receive(first)];
  acknowledge(first, lost[0]);
  await until(door, sequences[0], 'completed');
  first.destroy();
  await until(door, sequences[1], 'enqueued');
  // A persistent session needs no new SUBSCRIBE.
  const second = await door.device('d1', { clean: false });
  const packet = await receive(second);
  assert.deepEqual([String(packet.payload), packet.dup, packet.messageId], ['2', true, lost[1].messageId]);
  acknowledge(second, packet);
  await until(door, sequences[1], 'completed');
  assert.equal((await command(door, sequences[1])).deliveryCount, 0, 'a lost connection is no failed attempt');
  second.destroy();
});

test('CleanSession 1 brings nothing of the session before, until the device subscribes again', async () => {
  await using door = await openDoor();
  const first = await door.device('d1', { clean: false });
  await subscribe(first);
  await first.disconnect();
  await send(door, 'x');
  const second = await door.device('d1', { clean: true });
  await second.ping();
  assert.deepEqual(second.unread, []);
  await subscribe(second);
  assert.equal(String((await receive(second)).payload), 'x');
  second.destroy();
});

test('a newer connection gets at once what the older one held', async () => {
  await using door = await openDoor();
  const older = await door.device('d1', { clean: false });
  await subscribe(older);
  await send(door, 'x');
  await receive(older);
  const newer = await door.device('d1', { clean: false });
  await older.untilClosed();
  const packet = await receive(newer);
  assert.deepEqual([String(packet.payload), packet.dup], ['x', true]);
  newer.destroy();
});

test('a PUBACK for a command that is not out, or whose lock is over, is no error to the device', async () => {
  await using door = await openDoor();
  const client = await door.device('d1', { keepalive: 0 });
  await subscribe(client);
  client.send({ cmd: 'puback', messageId: 77 });
  const sequence = await send(door, 'x', { expiry: door.clock.now() + limits.commandLockMs / 2 });
  const packet = await receive(client);
  door.clock.advance(limits.commandLockMs);
  await door.hub.commands.sweep();
  acknowledge(client, packet);
  await client.ping();
  await until(door, sequence, 'expired');
  client.destroy();
});

test('a command whose lock ran out comes again over the same connection', async () => {
  await using door = await openDoor();
  const client = await door.device('d1', { keepalive: 0 });
  await subscribe(client);
  const sequence = await send(door, 'x');
  const packet = await receive(client);
  door.clock.advance(limits.commandLockMs);
  await door.hub.commands.sweep();
  const again = await receive(client);
  assert.deepEqual([again.dup, again.messageId], [true, packet.messageId]);
  acknowledge(client, again);
  await until(door, sequence, 'completed');
  client.destroy();
});

test('a late PUBACK of an earlier connection is not taken for that of another command', async () => {
  await using door = await openDoor();
  const first = await door.device('d1', { clean: false });
  await subscribe(first);
  const one = await send(door, '1');
  const packet = await receive(first);
  first.destroy();
  await until(door, one, 'enqueued');
  await door.hub.commands.purge(door.owner, key);
  const two = await send(door, '2');
  const second = await door.device('d1', { clean: false });
  const other = await receive(second);
  assert.notEqual(other.messageId, packet.messageId);
  acknowledge(second, packet);
  await second.ping();
  assert.equal((await command(door, two)).state.kind, 'locked');
  second.destroy();
});

test('in flight are at most so many, each PUBACK makes room for one, and the order holds', async () => {
  await using door = await openTestDoor({}, { commands: { queueDepthMax: 200 } });
  await door.create(key);
  const client = await door.device('d1');
  await subscribe(client);
  const count = limits.commandsInflightMax + 20;
  for (let at = 0; at < count; at++) await send(door, String(at));
  const packets: IPublishPacket[] = [];
  for (let at = 0; at < limits.commandsInflightMax; at++) packets.push(await receive(client));
  await client.ping();
  assert.deepEqual(client.unread, []);
  assert.equal(new Set(packets.map(({ messageId }) => messageId)).size, limits.commandsInflightMax);
  for (let at = 0; packets.length < count; at++) {
    acknowledge(client, packets[at]);
    packets.push(await receive(client));
  }
  assert.deepEqual(
    packets.map(({ payload }) => Number(payload)),
    Array.from({ length: count }, (_, at) => at),
  );
  client.destroy();
});

test('a device that does not read is sent a bounded number of bytes, and gets the rest when it reads', async () => {
  await using door = await openTestDoor({}, { commands: { queueDepthMax: 1000 } });
  await door.create(key);
  const client = await door.device('d1');
  await subscribe(client);
  client.socket.pause();
  const body = Buffer.alloc(60_000, 1);
  const count = 400;
  for (let at = 0; at < count; at++) await send(door, body);
  const outstanding = await door.hub.commands.totals();
  assert.ok(outstanding.waiting > count - limits.commandsInflightMax - 1);
  // It goes on writing meanwhile, and is read.
  for (let at = 0; at < 50; at++) client.publish({ topic: 'devices/d1/messages/events/', qos: 1, messageId: at + 1 });
  await door.untilSent(50);
  client.socket.resume();
  const got: number[] = [];
  while (got.length < count) {
    const packet = (await client.next()) as IPublishPacket;
    if (packet.cmd !== 'publish') continue;
    got.push(packet.payload.length);
    acknowledge(client, packet);
  }
  assert.ok(got.every((length) => length === body.length));
  client.destroy();
});

test('a command that does not fit into a topic is given up after the attempts that are allowed', async () => {
  await using door = await openDoor();
  const client = await door.device('d1');
  await subscribe(client);
  const sequence = await send(door, 'x', { properties: [['a', '€'.repeat(8000)]] });
  const next = await send(door, 'y');
  assert.equal(String((await receive(client)).payload), 'y');
  await until(door, sequence, 'deliveryCountExceeded');
  await until(door, next, 'locked');
  client.destroy();
});

test('a store that refuses is asked again', async () => {
  await using door = await openDoor();
  await send(door, 'x');
  const take = door.queue.lockNext;
  door.queue.lockNext = () => Promise.reject(new Error('the disk is tired'));
  const client = await door.device('d1', { keepalive: 0 });
  await subscribe(client);
  await client.ping();
  assert.deepEqual(client.unread, []);
  door.queue.lockNext = take;
  door.clock.advance(limits.commandsRetryMs + limits.mqttPulseMs);
  assert.equal(String((await receive(client)).payload), 'x');
  client.destroy();
});

test('what a device holds is given back when it says good-bye, is disconnected, or the hub stops', async () => {
  await using door = await openDoor();
  const sequence = await send(door, 'x');
  const ends = [
    (client: MqttDriver) => client.disconnect(),
    (client: MqttDriver) => client.destroy(),
    (client: MqttDriver) => client.send(Buffer.from([0xf0, 0])),
    () => door.door.drain(),
  ];
  for (const end of ends) {
    const client = await door.device('d1');
    await subscribe(client);
    await receive(client);
    await end(client);
    await until(door, sequence, 'enqueued');
  }
});

test('property names that the end-to-end test of the C SDK sends come percent-encoded', async () => {
  await using door = await openDoor();
  const client = await door.device('d1');
  await subscribe(client);
  await send(door, 'x', {
    properties: [
      ['&ey1', 'a'],
      ['K/y2', 'b'],
      ['Ke?3', 'c'],
    ],
  });
  const { topic: full } = await receive(client);
  assert.equal(full, `${topic}${to}&%26ey1=a&K%2Fy2=b&Ke%3F3=c`);
  client.destroy();
});
