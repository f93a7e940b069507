/** Twins and methods of devices and modules over MQTT (device reference 2.5 to 2.7). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { limits } from '../../src/base/limits.ts';
import { HubError } from '../../src/core/errors.ts';
import type { IdentityKey } from '../../src/core/identity/types.ts';
import { readTwinChange } from '../../src/core/twins/rules.ts';
import type { MqttDriver } from '../drivers/mqtt.ts';
import { MqttDriver as Driver } from '../drivers/mqtt.ts';
import { openTestDoor, type TestDoor } from '../drivers/mqtt-door.ts';

const responses = '$iothub/twin/res/#';
const desired = '$iothub/twin/PATCH/properties/desired/#';
const methods = '$iothub/methods/POST/#';
const patient = new AbortController().signal;

let lastPacketId = 100;
async function subscribe(client: MqttDriver, ...topics: readonly string[]): Promise<void> {
  client.send({
    cmd: 'subscribe',
    messageId: ++lastPacketId,
    subscriptions: topics.map((topic) => ({ topic, qos: 0 })),
  });
  assert.equal((await client.next('suback')).messageId, lastPacketId);
}

async function connect(
  door: TestDoor,
  key: IdentityKey,
  fields: { readonly clean?: boolean } = {},
): Promise<MqttDriver> {
  const { client, returnCode } = await Driver.connect(door.place, { ...(await door.credentials(key)), ...fields });
  assert.equal(returnCode, 0);
  return client;
}

const change = (door: TestDoor, key: IdentityKey, body: unknown, kind: 'merge' | 'replace' = 'merge') =>
  door.hub.twins.change(door.owner, key, readTwinChange(Buffer.from(JSON.stringify(body)), kind));
const desire = (door: TestDoor, key: IdentityKey, values: unknown) =>
  change(door, key, { properties: { desired: values } });

/** The next thing that comes, as topic and JSON. */
async function received(client: MqttDriver): Promise<readonly [topic: string, body: unknown]> {
  const { topic, payload } = await client.next('publish');
  const text = payload.toString();
  return [topic, text === '' ? '' : JSON.parse(text)];
}

const invoke = (door: TestDoor, key: IdentityKey, name: string, payload?: string, connectMs = 0, signal = patient) =>
  door.hub.methods.invoke(
    door.owner,
    key,
    { name, ...(payload !== undefined && { payload }), responseMs: 5000, connectMs },
    signal,
  );

async function answer(
  client: MqttDriver,
  status: number,
  body: string | Buffer,
): Promise<readonly [topic: string, payload: string]> {
  const { topic, payload } = await client.next('publish');
  const rid = /\/\?\$rid=([0-9a-f]+)$/.exec(topic)?.[1];
  assert.ok(rid !== undefined, `nothing behind the request id: ${topic}`);
  client.publish({ topic: `$iothub/methods/res/${status}/?$rid=${rid}`, payload: body });
  return [topic.slice(0, topic.indexOf('?')), payload.toString()];
}

for (const key of [{ deviceId: 'd1' }, { deviceId: 'd1', moduleId: 'm1' }] as const) {
  const who = 'moduleId' in key ? 'module' : 'device';

  test(`${who}: reads its twin, reports, and is answered with versions`, async () => {
    await using door = await openTestDoor();
    await door.create(key);
    const client = await connect(door, key);
    await subscribe(client, responses);
    client.publish({ topic: '$iothub/twin/GET/?$rid=a%20b', payload: Buffer.from(' ') });
    assert.deepEqual(await received(client), [
      '$iothub/twin/res/200/?$rid=a%20b',
      { desired: { $version: 1 }, reported: { $version: 1 } },
    ]);
    const report = '$iothub/twin/PATCH/properties/reported/?$rid=';
    client.publish({ topic: `${report}2`, payload: '{"a":{"b":1},"c":[1]}', qos: 1, messageId: 7 });
    assert.equal((await client.next('puback')).messageId, 7);
    assert.deepEqual(await received(client), ['$iothub/twin/res/204/?$rid=2&$version=2', '']);
    client.publish({ topic: `${report}3`, payload: '{"a":{"b":null,"d":2}}' });
    assert.deepEqual(await received(client), ['$iothub/twin/res/204/?$rid=3&$version=3', '']);
    await desire(door, key, { x: 1 });
    client.publish({ topic: '$iothub/twin/GET/?$rid=4' });
    assert.deepEqual(await received(client), [
      '$iothub/twin/res/200/?$rid=4',
      { desired: { x: 1, $version: 2 }, reported: { a: { d: 2 }, c: [1], $version: 3 } },
    ]);
    const { twin } = await door.hub.twins.get(door.owner, key);
    assert.deepEqual(JSON.parse(JSON.stringify(twin.reported.values)), { a: { d: 2 }, c: [1] });
    client.destroy();
  });

  test(`${who}: is told of each change of its desired properties, in order and once`, async () => {
    await using door = await openTestDoor();
    await door.create(key);
    await desire(door, key, { before: true });
    const client = await connect(door, key);
    await subscribe(client, desired);
    await desire(door, key, { a: { b: 1 }, before: null });
    await change(door, key, { tags: { t: 1 } });
    await desire(door, key, {});
    await change(door, key, { properties: { desired: { whole: [1] } } }, 'replace');
    await desire(door, key, null);
    const topic = (version: number) => `$iothub/twin/PATCH/properties/desired/?$version=${version}`;
    assert.deepEqual(await received(client), [topic(3), { a: { b: 1 }, before: null, $version: 3 }]);
    assert.deepEqual(await received(client), [topic(4), { whole: [1], $version: 4 }]);
    assert.deepEqual(await received(client), [topic(5), { whole: null, $version: 5 }]);
    client.send({ cmd: 'unsubscribe', messageId: 9, unsubscriptions: [desired] });
    await client.next('unsuback');
    await desire(door, key, { unheard: 1 });
    await client.ping();
    assert.deepEqual(client.unread, []);
    await subscribe(client, desired);
    await desire(door, key, { heard: 1 });
    assert.deepEqual(await received(client), [topic(7), { heard: 1, $version: 7 }]);
    client.destroy();
  });

  test(`${who}: methods reach it with their payload as it was written, and its answer comes back`, async () => {
    await using door = await openTestDoor();
    await door.create(key);
    const client = await connect(door, key);
    await assert.rejects(invoke(door, key, 'early'), { code: 'DeviceNotOnline' }, 'it does not listen yet');
    await subscribe(client, methods);
    const payloads = ['null', '""', '"foo"', '{}', '{"k":"v","n":1.0,"big":12345678901234567890}', undefined];
    for (const [at, payload] of payloads.entries()) {
      const given = invoke(door, key, `reboot*${at}`, payload);
      const [topic, came] = await answer(client, 200 + at, payload ?? '');
      assert.deepEqual([topic, came], [`$iothub/methods/POST/reboot*${at}/`, payload ?? '']);
      assert.deepEqual(await given, { status: 200 + at, payload: payload ?? 'null' });
    }
    client.destroy();
  });
}

const refusals: readonly (readonly [
  what: string,
  status: number,
  code: number,
  payload: string | Buffer,
  version?: number | string,
])[] = [
  ['what is not JSON', 400, 400006, '{"a":'],
  ['what is no object', 400, 400006, '[1]'],
  ['nothing', 400, 400006, ''],
  ['bytes that are not UTF-8', 400, 400006, Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])],
  ['one bad name beside a good one', 400, 400004, '{"good":1,"$bad":2}'],
  ['null in an array', 400, 400004, '{"a":[null]}'],
  ['a number that is too large', 400, 400004, '{"a":4503599627370496}'],
  ['a number that is too small', 400, 400004, '{"a":-4503599627370497}'],
  ['a stale version', 412, 412001, '{"a":1}', 9],
  ['a version that is larger than any', 412, 412001, '{"a":1}', '18446744073709551615'],
  ['a version that is none', 412, 412001, '{"a":1}', '1x'],
  ['more bytes than a section ever needs', 413, 413001, `{"a":"${'x'.repeat(limits.twinReportedBytesMax)}"}`],
  [
    'more than the section holds',
    400,
    400004,
    JSON.stringify(Object.fromEntries(Array.from({ length: 9 }, (_, at) => [`n${at}`, 'x'.repeat(4000)]))),
  ],
];

test('refused patches are answered with status and error body, change nothing, and leave the connection', async () => {
  await using door = await openTestDoor();
  const client = await door.device('d1');
  await subscribe(client, responses);
  for (const [what, status, code, payload, version] of refusals) {
    const query = version === undefined ? '' : `&$version=${version}`;
    client.publish({ topic: `$iothub/twin/PATCH/properties/reported/?$rid=r${query}`, payload });
    const [topic, body] = await received(client);
    assert.equal(topic, `$iothub/twin/res/${status}/?$rid=r`, what);
    const { errorCode, message, trackingId, timestampUtc } = body as Record<string, unknown>;
    assert.deepEqual([errorCode, typeof message, typeof trackingId], [code, 'string', 'string'], what);
    assert.match(String(timestampUtc), /^\d{4}-\d\d-\d\dT/);
  }
  const { twin } = await door.hub.twins.get(door.owner, { deviceId: 'd1' });
  assert.equal(twin.reported.version, 1);
  client.publish({ topic: '$iothub/twin/PATCH/properties/reported/?$rid=ok&$version=1', payload: '{"a":1}' });
  assert.deepEqual(await received(client), ['$iothub/twin/res/204/?$rid=ok&$version=2', '']);
  client.destroy();
});

test('requests that have no id are not answered, and leave the connection', async () => {
  await using door = await openTestDoor();
  const client = await door.device('d1');
  await subscribe(client, responses);
  for (const query of ['', '$rid=', 'rid=1', '$version=1']) {
    client.publish({ topic: `$iothub/twin/GET/?${query}` });
    client.publish({ topic: `$iothub/twin/PATCH/properties/reported/?${query}`, payload: '{"$bad":1}' });
  }
  client.publish({ topic: '$iothub/twin/PATCH/properties/reported/?$rid=', payload: '{"good":1}' });
  await client.ping();
  client.publish({ topic: '$iothub/twin/GET/?$rid=named' });
  assert.deepEqual(await received(client), [
    '$iothub/twin/res/200/?$rid=named',
    { desired: { $version: 1 }, reported: { good: 1, $version: 2 } },
  ]);
  client.destroy();
});

test('without the subscription a patch is carried out and not answered', async () => {
  await using door = await openTestDoor();
  const client = await door.device('d1');
  client.publish({ topic: '$iothub/twin/PATCH/properties/reported/?$rid=1', payload: '{"a":1}' });
  client.publish({ topic: '$iothub/twin/GET/?$rid=2' });
  await client.ping();
  const { twin } = await door.hub.twins.get(door.owner, { deviceId: 'd1' });
  assert.equal(twin.reported.version, 2);
  assert.deepEqual(client.unread, []);
  client.destroy();
});

test('a device that was away is not told what it missed; its session goes on with what comes', async () => {
  await using door = await openTestDoor();
  const key = { deviceId: 'd1' };
  await door.create(key);
  const first = await connect(door, key, { clean: false });
  await subscribe(first, desired, methods);
  await first.disconnect();
  await desire(door, key, { missed: 1 });
  await assert.rejects(invoke(door, key, 'away'), { code: 'DeviceNotOnline' });
  const second = await connect(door, key, { clean: false });
  await second.ping();
  assert.deepEqual(second.unread, []);
  await desire(door, key, { heard: 1 });
  assert.deepEqual(await received(second), [
    '$iothub/twin/PATCH/properties/desired/?$version=3',
    { heard: 1, $version: 3 },
  ]);
  const given = invoke(door, key, 'back', '1');
  await answer(second, 200, '2');
  assert.deepEqual(await given, { status: 200, payload: '2' });
  second.destroy();
});

test('a method waits for its device to connect and subscribe; a device that leaves, or is taken over, ends it', async () => {
  await using door = await openTestDoor();
  const key = { deviceId: 'd1' };
  await door.create(key);
  const waiting = invoke(door, key, 'patience', '1', 60_000);
  const first = await connect(door, key);
  await first.ping();
  await subscribe(first, methods);
  await answer(first, 200, '"came"');
  assert.deepEqual(await waiting, { status: 200, payload: '"came"' });

  const lost = assert.rejects(invoke(door, key, 'lost', '1', 60_000), {
    code: 'DeviceConnectionClosedRemotely',
    message: 'Device unavailable',
  });
  await first.next('publish');
  const second = await connect(door, key);
  await lost;
  await first.untilClosed();
  await subscribe(second, methods);
  const left = assert.rejects(invoke(door, key, 'left'), { code: 'DeviceConnectionClosedRemotely' });
  await second.next('publish');
  second.destroy();
  await left;
});

test('no answer in time, an answer that is none, an answer to nothing', async () => {
  await using door = await openTestDoor();
  const client = await door.device('d1');
  const key = { deviceId: 'd1' };
  await subscribe(client, methods);
  const silent = assert.rejects(invoke(door, key, 'silent'), { code: 'GatewayTimeout' });
  const { topic } = await client.next('publish');
  door.clock.advance(5000);
  await silent;
  const rid = topic.slice(topic.indexOf('=') + 1);
  for (const id of [rid, '1', 'zz', ''])
    client.publish({ topic: `$iothub/methods/res/200/?$rid=${id || 'x'}`, payload: '1' });
  for (const [status, body] of [
    [200, '{"not json'],
    [200, Buffer.from([0x22, 0xff, 0x22])],
    [2 ** 31, '1'],
    [-9999999999, '1'],
  ] as const) {
    const broken = assert.rejects(invoke(door, key, 'broken'), { code: 'BadDeviceResponse' });
    await answer(client, status, body);
    await broken;
  }
  const whole = invoke(door, key, 'whole');
  await answer(client, -(2 ** 31), '"\u00fc"');
  assert.deepEqual(await whole, { status: -(2 ** 31), payload: '"\u00fc"' });
  const caller = new AbortController();
  const given = assert.rejects(invoke(door, key, 'unwanted', '1', 0, caller.signal), HubError);
  await client.next('publish');
  caller.abort(new HubError('ServiceUnavailable'));
  await given;
  client.destroy();
});

test('what came in a row for one device is reported in order, whatever the store takes together', async () => {
  await using door = await openTestDoor();
  const client = await door.device('d1');
  await subscribe(client, responses);
  const count = 3 * limits.mqttTwinRequestsMax;
  for (let at = 0; at < count; at++) {
    client.publish({ topic: `$iothub/twin/PATCH/properties/reported/?$rid=${at}`, payload: `{"n":${at}}` });
  }
  for (let at = 0; at < count; at++) {
    assert.deepEqual(await received(client), [`$iothub/twin/res/204/?$rid=${at}&$version=${at + 2}`, '']);
  }
  const { twin } = await door.hub.twins.get(door.owner, { deviceId: 'd1' });
  assert.deepEqual([twin.reported.values.n, twin.reported.version], [count - 1, count + 1]);
  client.destroy();
});

test('a subscription is confirmed only when every change behind that will be pushed', async () => {
  await using door = await openTestDoor();
  const key = { deviceId: 'd1' };
  await door.create(key);
  const client = await connect(door, key);
  const reading = Promise.withResolvers<void>();
  const held = Promise.withResolvers<void>();
  const { ownVersion } = door.hub.twins;
  Object.assign(door.hub.twins, {
    async ownVersion(...args: Parameters<typeof ownVersion>) {
      const version = await ownVersion(...args);
      reading.resolve();
      await held.promise;
      return version;
    },
  });
  client.send({ cmd: 'subscribe', messageId: 5, subscriptions: [{ topic: desired, qos: 0 }] });
  await reading.promise;
  await desire(door, key, { n: 1 });
  await sleep(50);
  assert.deepEqual(client.unread, [], 'no SUBACK before it is known from which version on the device is told');
  held.resolve();
  assert.equal((await client.next('suback')).messageId, 5);
  assert.deepEqual(await received(client), [
    '$iothub/twin/PATCH/properties/desired/?$version=2',
    { n: 1, $version: 2 },
  ]);
  client.destroy();
});

test('a hub that stops answers the twin requests that it has taken, and takes no more', async () => {
  await using door = await openTestDoor();
  const key = { deviceId: 'd1' };
  await door.create(key);
  const client = await connect(door, key);
  await subscribe(client, responses);
  const reading = Promise.withResolvers<void>();
  const held = Promise.withResolvers<void>();
  const { readOwn } = door.hub.twins;
  Object.assign(door.hub.twins, {
    async readOwn(...args: Parameters<typeof readOwn>) {
      reading.resolve();
      await held.promise;
      return readOwn(...args);
    },
  });
  client.publish({ topic: '$iothub/twin/GET/?$rid=taken' });
  await reading.promise;
  let isClosed = false;
  const closed = client.closed.then(() => {
    isClosed = true;
  });
  const stopped = door.door.drain();
  client.publish({ topic: '$iothub/twin/GET/?$rid=late' });
  await sleep(50);
  assert.equal(isClosed, false);
  held.resolve();
  assert.equal((await received(client))[0], '$iothub/twin/res/200/?$rid=taken');
  await Promise.all([stopped, closed]);
  assert.deepEqual(client.unread, []);
});
