/** Commands that end badly and operations that are refused, as monitoring events. */
import assert from 'node:assert/strict';
import https from 'node:https';
import { after, before, test } from 'node:test';
import type { ApiClient } from '../../src/api/client.ts';
import { apiOf } from '../drivers/api.ts';
import { startHub, type TestHub } from '../drivers/hub.ts';
import { devicePlace, MonitoringReader, type PlayedDevice, withDevice } from '../drivers/monitoring.ts';
import { MqttDriver } from '../drivers/mqtt.ts';

let hub: TestHub;
let reader: MonitoringReader;
let api: ApiClient;
let device: PlayedDevice;
before(async () => {
  hub = await startHub({ args: ['--monitoring-window-seconds', '1', '--telemetry-bytes-max', '1KiB'] });
  reader = await MonitoringReader.open(hub);
  api = apiOf(hub);
  device = await withDevice(hub, 'worker');
});
after(async () => {
  await reader.close();
  api.close();
  await hub[Symbol.asyncDispose]();
});

/** A request of the device; the answer's status and ETag. */
async function request(method: string, path: string): Promise<{ status: number; etag: string }> {
  const authorization = await device.token();
  const options = { host: 'localhost', port: hub.endpoints.ports.https ?? 0, ca: hub.ca, method, path };
  return new Promise((resolve, reject) => {
    const call = https.request({ ...options, headers: { authorization } }, (response) => {
      response.resume().once('end', () => {
        resolve({ status: response.statusCode ?? 0, etag: String(response.headers.etag).replaceAll('"', '') });
      });
    });
    call.once('error', reject).end();
  });
}

const bound = '/devices/worker/messages/deviceBound';
const version = 'api-version=2021-04-12';

test('a command that the device rejects, and one that it abandons too often', async () => {
  await api.commands.send({ deviceId: 'worker' }, { bodyText: 'no', messageId: 'rejected-1' });
  const taken = await request('GET', `${bound}?${version}`);
  assert.equal(taken.status, 200);
  assert.equal((await request('DELETE', `${bound}/${taken.etag}?reject&${version}`)).status, 204);
  const rejected = await reader.next(({ type }) => type === 'commandRejected');
  assert.deepEqual([rejected.deviceId, rejected.messageId, rejected.command], ['worker', 'rejected-1', 1]);

  await api.commands.send({ deviceId: 'worker' }, { bodyText: 'never', messageId: 'abandoned-1' });
  for (let at = 0; at < 10; at++) {
    const { etag } = await request('GET', `${bound}?${version}`);
    assert.equal((await request('POST', `${bound}/${etag}/abandon?${version}`)).status, 204);
  }
  const givenUp = await reader.next(({ type }) => type === 'commandGivenUp');
  assert.deepEqual([givenUp.deviceId, givenUp.messageId, givenUp.command], ['worker', 'abandoned-1', 2]);
});

test('a command whose time is over while nobody asks for it', async () => {
  await api.commands.send({ deviceId: 'worker' }, { bodyText: 'late', messageId: 'expired-1', ttlSeconds: 1 });
  const expired = await reader.next(({ type }) => type === 'commandExpired');
  assert.deepEqual([expired.deviceId, expired.messageId, expired.command], ['worker', 'expired-1', 3]);
});

test('a message that is too large: the limit, its value and what met it', async () => {
  const { client } = await MqttDriver.connect(devicePlace(hub), await device.connect());
  client.publish({ topic: 'devices/worker/messages/events/', qos: 1, messageId: 1, payload: Buffer.alloc(2000) });
  await client.untilClosed();
  const refused = await reader.next(({ type }) => type === 'operationRefused');
  assert.deepEqual(
    [refused.deviceId, refused.operation, refused.code, refused.count],
    ['worker', 'telemetry.send', 'MessageTooLarge', 1],
  );
  assert.deepEqual(refused.limit, { name: 'telemetryBytesMax', scope: 'device worker', current: 2000, max: 1024 });
  const ended = await reader.next(({ type }) => type === 'disconnected');
  assert.equal(ended.deviceId, 'worker');
});

test('a queue that is full', async () => {
  for (let at = 0; at < 50; at++) await api.commands.send({ deviceId: 'worker' }, { bodyText: String(at) });
  await assert.rejects(api.commands.send({ deviceId: 'worker' }, { bodyText: 'one more' }));
  const refused = await reader.next(({ code }) => code === 'DeviceMaximumQueueDepthExceeded');
  assert.deepEqual([refused.deviceId, refused.operation], ['worker', 'commands.send']);
  assert.deepEqual(refused.limit, { name: 'commandQueueDepthMax', scope: 'device worker', current: 50, max: 50 });
});
