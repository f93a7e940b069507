import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { IConnectPacket } from 'mqtt-packet';
import { limits } from '../../src/base/limits.ts';
import { MqttDriver } from '../drivers/mqtt.ts';
import { openTestDoor, type TestDoor } from '../drivers/mqtt-door.ts';
import { until } from '../drivers/until.ts';

const key = { deviceId: 'd1' };
const commands = 'devices/d1/messages/devicebound/#';
const twinResponses = '$iothub/twin/res/#';

async function openDoor(log: Parameters<typeof openTestDoor>[0] = {}): Promise<TestDoor> {
  const door = await openTestDoor(log);
  await door.create(key);
  return door;
}

/** Connects `d1`, subscribes, says good-bye; whether the hub said that there was a session. */
async function visit(
  door: TestDoor,
  fields: Partial<IConnectPacket>,
  filters: readonly string[] = [],
): Promise<boolean> {
  const { client, returnCode, sessionPresent } = await MqttDriver.connect(door.place, {
    ...(await door.credentials(key)),
    ...fields,
  });
  assert.equal(returnCode, 0);
  if (filters.length > 0) {
    client.send({ cmd: 'subscribe', messageId: 1, subscriptions: filters.map((topic) => ({ topic, qos: 1 })) });
    await client.next('suback');
  }
  await client.disconnect();
  return sessionPresent;
}

const stored = async (door: TestDoor): Promise<readonly string[] | undefined> => {
  const { generationId } = await door.hub.registry.get(door.owner, key);
  const proved = { kind: 'device', key, generationId, expiresAt: Number.POSITIVE_INFINITY } as const;
  const principal = { ...proved, authScope: 'device', authType: 'sas' } as const;
  return (await door.hub.subscriptions.load(principal))?.map(({ filter }) => filter);
};

test('subscriptions outlive a connection with CleanSession 0', async () => {
  await using door = await openDoor();
  assert.equal(await visit(door, { clean: false }, [commands]), false);
  assert.equal(await visit(door, { clean: false }, [twinResponses]), true);
  assert.deepEqual(await stored(door), [commands, twinResponses]);
  const client = await door.device('d1', { clean: false });
  client.publish({ topic: '$iothub/twin/GET/?$rid=1' });
  assert.equal((await client.next('publish')).topic, '$iothub/twin/res/200/?$rid=1', 'granted without a new SUBSCRIBE');
  client.destroy();
});

test('a session is present even if nothing was subscribed', async () => {
  await using door = await openDoor();
  assert.equal(await visit(door, { clean: false }), false);
  assert.equal(await visit(door, { clean: false }), true);
});

test('CleanSession 1 ends the session of before, and leaves none', async () => {
  await using door = await openDoor();
  await visit(door, { clean: false }, [commands]);
  assert.equal(await visit(door, { clean: true }, [twinResponses]), false);
  assert.equal(await stored(door), undefined);
  assert.equal(await visit(door, { clean: false }), false);
});

test('an identity that was re-created does not inherit the session', async () => {
  await using door = await openDoor();
  await visit(door, { clean: false }, [commands]);
  await door.hub.registry.delete(door.owner, key);
  await door.create(key);
  assert.equal(await visit(door, { clean: false }), false);
  assert.deepEqual(await stored(door), []);
});

test('UNSUBSCRIBE is answered and durable, for unknown filters too', async () => {
  await using door = await openDoor();
  const client = await door.device('d1', { clean: false });
  client.send({
    cmd: 'subscribe',
    messageId: 1,
    subscriptions: [commands, twinResponses].map((topic) => ({ topic, qos: 0 })),
  });
  await client.next('suback');
  client.send({ cmd: 'unsubscribe', messageId: 2, unsubscriptions: [commands, 'nothing/#'] });
  assert.equal((await client.next('unsuback')).messageId, 2);
  assert.deepEqual(await stored(door), [twinResponses]);
  client.destroy();
});

test('SUBACK comes when the session is durable, and grants at most QoS 1', async () => {
  await using door = await openDoor();
  const client = await door.device('d1', { clean: false });
  const { subscriptions } = door.hub;
  const save = subscriptions.save.bind(subscriptions);
  let release = (): void => {};
  const asked = new Promise<void>((resolve) => {
    subscriptions.save = async (...session) => {
      resolve();
      await new Promise<void>((released) => {
        release = released;
      });
      await save(...session);
    };
  });
  client.send({
    cmd: 'subscribe',
    messageId: 7,
    subscriptions: [
      { topic: commands, qos: 2 },
      { topic: twinResponses, qos: 0 },
    ],
  });
  await asked;
  assert.deepEqual([await stored(door), client.unread], [[], []]);
  release();
  const answer = await client.next('suback');
  assert.deepEqual([answer.messageId, answer.granted], [7, [1, 0]]);
  assert.deepEqual(await stored(door), [commands, twinResponses]);
  client.destroy();
});

test('a session that cannot be saved ends the connection without a SUBACK', async () => {
  await using door = await openDoor();
  const client = await door.device('d1', { clean: false });
  door.hub.subscriptions.save = () => Promise.reject(new Error('no space left'));
  client.send({ cmd: 'subscribe', messageId: 7, subscriptions: [{ topic: commands, qos: 1 }] });
  await client.untilClosed();
  assert.deepEqual(client.unread, []);
});

test('all documented filters of a device are granted, in one SUBSCRIBE or again', async () => {
  await using door = await openDoor();
  const client = await door.device('d1');
  const filters = [
    commands,
    'devices/+/messages/devicebound/#',
    twinResponses,
    '$iothub/twin/PATCH/properties/desired/#',
    '$iothub/methods/POST/#',
  ];
  for (let round = 0; round < 2; round++) {
    client.send({ cmd: 'subscribe', messageId: 1, subscriptions: filters.map((topic) => ({ topic, qos: 1 })) });
    assert.deepEqual((await client.next('suback')).granted, [1, 1, 1, 1, 1]);
  }
  client.destroy();
});

for (const filter of [
  '#',
  'devices/d2/messages/devicebound/#',
  'devices/d1/messages/events/#',
  'devices/d1/messages/devicebound/+',
]) {
  test(`a foreign filter ends the connection: ${filter}`, async () => {
    await using door = await openDoor();
    const client = await door.device('d1');
    client.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: filter, qos: 0 }] });
    await client.untilClosed();
    assert.deepEqual(client.unread, []);
  });
}

test('a sixth subscription of a module ends the connection', async () => {
  await using door = await openTestDoor();
  const module = { deviceId: 'd1', moduleId: 'm1' };
  await door.create(module);
  const { client } = await MqttDriver.connect(door.place, await door.credentials(module));
  const own = 'devices/d1/modules/m1';
  const filters = [
    `${own}/messages/devicebound/#`,
    `${own}/inputs/#`,
    `${own}/#`,
    twinResponses,
    '$iothub/methods/POST/#',
  ];
  client.send({ cmd: 'subscribe', messageId: 1, subscriptions: filters.map((topic) => ({ topic, qos: 1 })) });
  assert.equal((await client.next('suback')).granted.length, limits.mqttSubscriptionsMax);
  client.send({
    cmd: 'subscribe',
    messageId: 2,
    subscriptions: [{ topic: '$iothub/twin/PATCH/properties/desired/#', qos: 0 }],
  });
  await client.untilClosed();
});

test('more filters in one packet than any device has end the connection', async () => {
  await using door = await openDoor();
  const topics = Array.from({ length: limits.mqttFiltersPerPacketMax + 1 }, () => commands);
  const subscriber = await door.device('d1');
  subscriber.send({ cmd: 'subscribe', messageId: 1, subscriptions: topics.map((topic) => ({ topic, qos: 0 })) });
  await subscriber.untilClosed();
  const unsubscriber = await door.device('d1');
  unsubscriber.send({ cmd: 'unsubscribe', messageId: 1, unsubscriptions: topics });
  await unsubscriber.untilClosed();
});

test('without the subscription a twin request is not answered, nor is a method response', async () => {
  await using door = await openDoor();
  const client = await door.device('d1');
  client.publish({ topic: '$iothub/twin/GET/?$rid=1' });
  client.publish({ topic: '$iothub/methods/res/200/?$rid=1', payload: '{}' });
  await client.ping();
  assert.deepEqual(client.unread, []);
  client.destroy();
});

test('a PUBACK for nothing is ignored, packets of QoS 2 end the connection', async () => {
  await using door = await openDoor();
  for (const cmd of ['pubrec', 'pubrel', 'pubcomp'] as const) {
    const client = await door.device('d1');
    client.send({ cmd: 'puback', messageId: 5 });
    await client.ping();
    client.send({ cmd, messageId: 5 });
    await client.untilClosed();
  }
});

test('a newer connection takes over, and the end of the older does not touch it', async () => {
  await using door = await openDoor();
  const older = await door.device('d1', { clean: false });
  const newer = await door.device('d1', { clean: false });
  await older.untilClosed();
  await newer.ping();
  assert.equal((await door.hub.presence.state(key)).connected, true);
  newer.destroy();
  await until('it is gone', async () => !(await door.hub.presence.state(key)).connected, { everyMs: 1 });
});

test('a device that is disabled or deleted loses its connection', async () => {
  await using door = await openDoor();
  const disabled = await door.device('d1');
  await door.hub.registry.put(door.owner, { ...key, status: 'disabled' }, '*');
  await disabled.untilClosed();
  await door.hub.registry.put(door.owner, { ...key, status: 'enabled' }, '*');
  const deleted = await door.device('d1');
  await door.hub.registry.delete(door.owner, key);
  await deleted.untilClosed();
});

test('the end of the token, with the clock difference allowed, ends the connection', async () => {
  await using door = await openDoor();
  const client = await door.device('d1', { lifeMs: 60_000, keepalive: 0 });
  door.clock.advance(60_000 + limits.clockSkewMs - 1000);
  await client.ping();
  door.clock.advance(1000 + limits.mqttPulseMs);
  await client.untilClosed();
  assert.ok(door.lines.some((line) => line.includes('token-expired')));
});

test('silence over one and a half times the keep alive ends the connection', async () => {
  await using door = await openDoor();
  const client = await door.device('d1', { keepalive: 10 });
  door.clock.advance(14_900);
  await client.ping();
  door.clock.advance(14_900);
  await client.ping();
  door.clock.advance(15_000 + limits.mqttPulseMs);
  await client.untilClosed();
  assert.ok(door.lines.some((line) => line.includes('"reason":"keep-alive"')));
});

for (const keepalive of [0, 65_535]) {
  test(`with a keep alive of ${keepalive} s the hub's own limit holds`, async () => {
    await using door = await openDoor();
    const client = await door.device('d1', { keepalive, lifeMs: 10 * 3_600_000 });
    door.clock.advance(limits.mqttKeepAliveMsMax - limits.mqttPulseMs);
    await client.ping();
    door.clock.advance(limits.mqttKeepAliveMsMax + limits.mqttPulseMs);
    await client.untilClosed();
  });
}

test('silence does not count while the hub itself does not read', async () => {
  await using door = await openDoor({ durable: 'byHand', writerBytesMax: 100 });
  const client = await door.device('d1', { keepalive: 10 });
  client.publish({ topic: 'devices/d1/messages/events/' });
  await door.untilSent(1);
  door.clock.advance(60_000);
  await door.log.commit();
  await client.ping();
  client.destroy();
});

test('a stop acknowledges what becomes durable, then ends every connection', async () => {
  await using door = await openDoor({ durable: 'byHand' });
  const busy = await door.device('d1');
  const idle = await door.device('d2');
  busy.publish({ topic: 'devices/d1/messages/events/', qos: 1, messageId: 1 });
  await busy.ping();
  await door.door.stopAccepting();
  const drained = door.door.drain();
  await idle.untilClosed();
  busy.publish({ topic: 'devices/d1/messages/events/', qos: 1, messageId: 2 });
  await door.log.commit();
  assert.equal((await busy.next('puback')).messageId, 1);
  await busy.untilClosed();
  await drained;
  assert.equal(door.door.connections(), 0);
  assert.equal(door.sent.length, 1);
});

test('a stop does not wait for ever for a disk that does not answer', async () => {
  await using door = await openDoor({ durable: 'byHand' });
  const client = await door.device('d1');
  client.publish({ topic: 'devices/d1/messages/events/', qos: 1, messageId: 1 });
  await client.ping();
  const drained = door.door.drain();
  door.clock.advance(limits.drainMs);
  await drained;
  await client.untilClosed();
  assert.deepEqual(client.unread, []);
});

test('activity and the end of a connection are known to presence', async () => {
  await using door = await openDoor();
  const client = await door.device('d1');
  const connectedAt = door.clock.now();
  door.clock.advance(5000);
  await client.ping();
  assert.deepEqual(await door.hub.presence.state(key), {
    connected: true,
    connectionStateUpdatedTime: connectedAt,
    lastActivityTime: connectedAt + 5000,
  });
  await client.disconnect();
  assert.equal((await door.hub.presence.state(key)).connected, false);
});
