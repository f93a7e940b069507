/** What devices do beside the standard, and what the hub makes of it: the table of docs/decisions/0014. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits } from '../../src/base/limits.ts';
import type { MonitoringReport } from '../../src/core/monitoring/types.ts';
import { AmqpDriver } from '../drivers/amqp.ts';
import { openAmqpTestHub } from '../drivers/amqp-door.ts';
import { openHttpHub } from '../drivers/http.ts';
import { registerDevice, storedEvents } from '../drivers/http-device.ts';
import { openTestDoor } from '../drivers/mqtt-door.ts';

const topic = 'devices/d1/messages/events/';

/** A PUBLISH at QoS 0 with DUP, which no library makes. */
function duplicateAtMostOnce(name: string): Buffer {
  const text = Buffer.from(name);
  return Buffer.concat([Buffer.of(0x38, 2 + text.length, text.length >> 8, text.length & 0xff), text]);
}

test('DUP at QoS 0: the connection is closed, and told why', async () => {
  let heard = (_report: MonitoringReport): void => {};
  const ended = new Promise<MonitoringReport>((resolve) => {
    heard = resolve;
  });
  const record = (report: MonitoringReport): void => {
    if (report.type === 'disconnected') heard(report);
  };
  await using door = await openTestDoor({}, {}, { recorder: { record } });
  const client = await door.device('d1');
  client.send(duplicateAtMostOnce(topic));
  await client.untilClosed();
  const told = await ended;
  assert.ok(told.type === 'disconnected');
  assert.equal(told.reason, 'protocol-error');
  assert.match(told.detail ?? '', /duplicate at QoS 0.*: "devices\/d1\/messages\/events\/"$/);
  assert.deepEqual(door.sent, []);
});

test('`:` and `/` in a property bag that are not percent-encoded are taken as they are', async () => {
  await using door = await openTestDoor();
  const client = await door.device('d1');
  client.publish({ topic: `${topic}urn:a/b=http://host:80/x&%24.ct=a/b&c=d:e/&f=g/`, qos: 1, messageId: 1 });
  assert.equal((await client.next('puback')).messageId, 1);
  const [{ system, properties }] = door.sent;
  assert.deepEqual(properties, [
    ['urn:a/b', 'http://host:80/x'],
    ['c', 'd:e/'],
    // Some clients put a slash behind every topic.
    ['f', 'g'],
  ]);
  assert.deepEqual(system, { contentType: 'a/b' });
  client.destroy();
});

const names = (count: number): readonly string[] => Array.from({ length: count }, (_, at) => `p${at}`);
const max = limits.messagePropertiesMax;

test('more than the most properties, MQTT: closed; the most is taken', async () => {
  await using door = await openTestDoor();
  const bag = (count: number): string =>
    names(count)
      .map((name) => `${name}=v`)
      .join('&');
  const client = await door.device('d1');
  client.publish({ topic: topic + bag(max), qos: 1, messageId: 1 });
  await client.next('puback');
  client.publish({ topic: topic + bag(max + 1), qos: 1, messageId: 2 });
  await client.untilClosed();
  assert.equal(door.sent.length, 1);
});

test('more than the most properties, AMQP: rejected; the link lives on', async () => {
  await using hub = await openAmqpTestHub();
  const device = await hub.device('d1');
  const client = await AmqpDriver.connect(hub.port, {});
  await client.putToken(device.token(), device.resource);
  const sender = client.send(device.address('messages/events'));
  const bag = (count: number) => Object.fromEntries(names(count).map((name) => [name, 'v']));
  const refused = await sender.outcome({ body: 'x', application_properties: bag(max + 1) });
  assert.ok(typeof refused === 'object');
  assert.equal(refused.condition, 'com.microsoft:argument-error');
  assert.equal(await sender.outcome({ body: 'x', application_properties: bag(max) }), 'accepted');
  await client.close();
});

test('more than the most properties, HTTP: 400', async () => {
  await using http = await openHttpHub();
  const device = await registerDevice(http, 'd1');
  const send = async (count: number): Promise<number> => {
    const headers = Object.fromEntries(names(count).map((name) => [`iothub-app-${name}`, 'v']));
    return (await device.request('POST', '/messages/events?api-version=2021-04-12', { body: 'x', headers })).status;
  };
  assert.equal(await send(max + 1), 400);
  assert.equal(await send(max), 204);
  assert.equal((await storedEvents(http)).length, 1);
});
