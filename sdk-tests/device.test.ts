/** azure-iot-device over MQTT: refusals as the SDK shows them, and the life of a connection. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { TestHub } from '../test/drivers/hub.ts';
import { Client } from './support/client.ts';
import { readEvents } from './support/events.ts';
import { type Device, openRegistry, type Registry, sasToken, startStockHub, whyNot } from './support/hub.ts';

/** More than the difference of clocks that the hub forgives. */
const LONG_AGO_SECONDS = 3600;
const CUT_OFF_MS = 1000;

describe('azure-iot-device over MQTT', { skip: await whyNot() }, () => {
  let hub: TestHub;
  let registry: Registry;

  before(async () => {
    // Clocks are one clock here, so that the end of a token is seen within the test.
    hub = await startStockHub(['--clock-skew-seconds', '1']);
    registry = await openRegistry(hub);
  });

  after(async () => {
    await registry?.stop();
    await hub?.[Symbol.asyncDispose]();
  });

  const start = (job: object): Client => Client.start('device.mjs', hub.endpoints.caFile, job);
  const host = (): string => hub.endpoints.hostName;
  const seconds = (): number => Math.floor(Date.now() / 1000);
  const tokenJob = (deviceId: string, sharedAccessSignature: string): object => ({
    credentials: { host: host(), deviceId, sharedAccessSignature },
  });

  /** Opens, expects the SDK's error of a refused login, and that the hub let nothing through. */
  async function assertRefused(job: object): Promise<void> {
    const client = start({ ...job, noRetry: true });
    try {
      const { value, error } = await client.call('open');
      assert.equal(value, undefined);
      assert.equal(error?.name, 'UnauthorizedError', JSON.stringify(error));
    } finally {
      await client.stop();
    }
  }

  async function openDevice(device: Device, job: object = {}): Promise<Client> {
    const client = start({ connectionString: device.connectionString, ...job });
    assert.equal((await client.call('open')).value, 'open');
    return client;
  }

  test('a wrong key is refused', async () => {
    await registry.createDevice(hub, 'd-wrong');
    const key = Buffer.alloc(32, 1).toString('base64');
    await assertRefused({ connectionString: `HostName=${host()};DeviceId=d-wrong;SharedAccessKey=${key}` });
  });

  test('an unknown device is refused', async () => {
    const key = Buffer.alloc(32, 1).toString('base64');
    await assertRefused({ connectionString: `HostName=${host()};DeviceId=d-none;SharedAccessKey=${key}` });
  });

  test('a disabled device is refused', async () => {
    const device = await registry.createDevice(hub, 'd-disabled');
    await registry.call('update', { ...(await registry.call('get', 'd-disabled')), status: 'disabled' });
    await assertRefused({ connectionString: device.connectionString });
  });

  test('an expired token is refused', async () => {
    const { deviceId, key } = await registry.createDevice(hub, 'd-expired');
    const resource = `${host()}/devices/${deviceId}`;
    await assertRefused(tokenJob(deviceId, sasToken(resource, key, seconds() - LONG_AGO_SECONDS)));
    // The same token with a later end is taken: it was refused for its end.
    const client = start(tokenJob(deviceId, sasToken(resource, key, seconds() + 600)));
    assert.equal((await client.call('open')).value, 'open');
    await client.stop();
  });

  test("another device's token is refused", async () => {
    const own = await registry.createDevice(hub, 'd-own');
    const other = await registry.createDevice(hub, 'd-other');
    const foreign = sasToken(`${host()}/devices/d-other`, other.key, seconds() + 600);
    await assertRefused(tokenJob(own.deviceId, foreign));
    const crossed = sasToken(`${host()}/devices/d-own`, other.key, seconds() + 600);
    await assertRefused(tokenJob(own.deviceId, crossed));
  });

  for (const [what, change] of [
    [
      'disabled',
      async (id: string) => registry.call('update', { ...(await registry.call('get', id)), status: 'disabled' }),
    ],
    ['deleted', (id: string) => registry.call('delete', id)],
  ] as const) {
    test(`a device that is ${what} while it is connected is cut off within a second and not let in again`, async () => {
      const device = await registry.createDevice(hub, `d-cut-${what}`);
      const client = await openDevice(device, { noRetry: true });
      try {
        assert.equal((await client.call('send', 'before')).value, 'accepted');
        await change(device.deviceId);
        const changedAt = Date.now();
        const { at } = await client.next('disconnected', 5000);
        assert.ok(at - changedAt <= CUT_OFF_MS, `${at - changedAt} ms`);
      } finally {
        await client.stop();
      }
      await assertRefused({ connectionString: device.connectionString });
    });
  }

  test('a device comes back by itself after a restart of the hub, and what it sends then is stored', async () => {
    const client = await openDevice(await registry.createDevice(hub, 'd-back'));
    try {
      assert.equal((await client.call('send', 'one', { place: 'before' })).value, 'accepted');
      await hub.stop();
      hub = await hub.restart();
      assert.equal((await client.call('send', 'two', { place: 'after' })).value, 'accepted');
      assert.deepEqual(client.seen('disconnected'), []);
      assert.deepEqual(await placesOf('d-back', 'after'), ['before', 'after']);
    } finally {
      await client.stop();
    }
  });

  test('a connection ends with its token', async () => {
    const { deviceId, key } = await registry.createDevice(hub, 'd-ends');
    const expires = seconds() + 3;
    const token = sasToken(`${host()}/devices/${deviceId}`, key, expires);
    const client = start({ ...tokenJob(deviceId, token), noRetry: true });
    try {
      assert.equal((await client.call('open')).value, 'open');
      const { at } = await client.next('disconnected', 15_000);
      assert.ok(at >= expires * 1000 && at <= (expires + 3) * 1000, `${at - expires * 1000} ms behind the token's end`);
    } finally {
      await client.stop();
    }
  });

  test('a short-lived token is renewed again and again while the device sends; no message is lost', async () => {
    const device = await registry.createDevice(hub, 'd-renew');
    const client = await openDevice(device, { tokenSeconds: 6, tokenMarginSeconds: 4 });
    try {
      const sent: string[] = [];
      for (let n = 0; client.seen('token renewed').length < 3; n++) {
        assert.equal((await client.call('send', 'x', { place: String(n) })).value, 'accepted');
        sent.push(String(n));
      }
      assert.deepEqual(client.seen('disconnected'), []);
      // A message whose acknowledgement was cut off may be there twice: at least once is what QoS 1 promises.
      const stored = await placesOf('d-renew', sent.at(-1) as string);
      assert.deepEqual([...new Set(stored)], sent);
    } finally {
      await client.stop();
    }
  });

  /** The property `place` of a device's events in their order. */
  async function placesOf(deviceId: string, last: string): Promise<readonly string[]> {
    const connectionString = hub.endpoints.connectionStrings.eventHubs;
    const events = await readEvents(hub, { connectionString, count: await eventCount() });
    const places = events
      .filter(({ system }) => system['iothub-connection-device-id'] === deviceId)
      .map(({ properties }) => properties.place);
    assert.equal(places.at(-1), last);
    return places;
  }

  /** Events in the hub now: those that its partitions name. */
  async function eventCount(): Promise<number> {
    const connectionString = hub.endpoints.connectionStrings.eventHubs;
    const reader = Client.start('events-read.mjs', hub.endpoints.caFile, { connectionString, count: 0 });
    const { partitions } = await reader.next('partitions');
    await reader.stop();
    return partitions.reduce(
      (
        sum: number,
        partition: { isEmpty: boolean; beginningSequenceNumber: number; lastEnqueuedSequenceNumber: number },
      ) => sum + (partition.isEmpty ? 0 : partition.lastEnqueuedSequenceNumber - partition.beginningSequenceNumber + 1),
      0,
    );
  }
});
