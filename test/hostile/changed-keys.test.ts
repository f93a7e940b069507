/**
 * Who holds old keys: when both keys of an identity are replaced, or its kind of authentication is changed, what was opened
 * by them ends, on every protocol and thread, and opens nothing more. One key replaced alone is a rotation and ends nothing.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { signSas } from '../../src/api/sas.ts';
import { AmqpDriver, within } from '../drivers/amqp.ts';
import { apiOf } from '../drivers/api.ts';
import { startHub, type TestHub } from '../drivers/hub.ts';
import { MqttDriver } from '../drivers/mqtt.ts';

const keyOf = (fill: number): string => Buffer.alloc(32, fill).toString('base64');
const keys = (primary: number, secondary: number) => ({
  authentication: {
    type: 'sas' as const,
    symmetricKey: { primaryKey: keyOf(primary), secondaryKey: keyOf(secondary) },
  },
});
const tokenOf = (path: string, key: number, lifeMs = 600_000): Promise<string> =>
  signSas({ resource: `localhost/devices/${path}`, key: keyOf(key), expiresAt: Date.now() + lifeMs });

async function mqtt(hub: TestHub, name: string, key: number): Promise<{ client: MqttDriver; returnCode: number }> {
  const password = Buffer.from(await tokenOf(name.replace('/', '/modules/'), key));
  const fields = { clientId: name, username: `localhost/${name}/?api-version=2021-04-12`, password };
  return MqttDriver.connect({ port: hub.endpoints.ports.mqtt ?? 0 }, fields);
}

async function amqp(hub: TestHub, deviceId: string, key: number): Promise<AmqpDriver> {
  const client = await AmqpDriver.connect(hub.endpoints.ports.amqp ?? 0, {});
  const answer = await client.putToken(await tokenOf(deviceId, key), `localhost/devices/${deviceId}`);
  assert.equal(answer.application_properties?.['status-code'], 200);
  return client;
}

const address = (deviceId: string): string => `/devices/${deviceId}/messages/events`;

for (const threads of ['1', '2']) {
  test(`changed keys end what the old ones opened (threads: ${threads})`, async () => {
    await using hub = await startHub({ args: ['--threads', threads, '--refusal-delay-seconds', '0'] });
    const api = apiOf(hub);
    for (const id of ['m', 'a', 'granted', 'rotated', 'kind']) await api.devices.create(id, keys(1, 2));
    await api.modules.create('m', 'part', keys(5, 6));
    const device = (await mqtt(hub, 'm', 1)).client;
    const part = (await mqtt(hub, 'm/part', 5)).client;
    const rotated = (await mqtt(hub, 'rotated', 1)).client;
    const kind = (await mqtt(hub, 'kind', 1)).client;
    const linked = await amqp(hub, 'a', 1);
    const sender = linked.send(address('a'));
    await sender.opened();
    const granted = await amqp(hub, 'granted', 1);

    for (const id of ['m', 'a', 'granted']) await api.devices.update(id, keys(3, 4));
    await api.devices.update('rotated', keys(3, 2));
    await api.devices.update('kind', { authentication: { type: 'certificateAuthority' } });

    await within('the end of the MQTT connection', device.untilClosed());
    await within('the end of the connection of another kind', kind.untilClosed());
    assert.equal((await sender.ending()).condition, 'amqp:unauthorized-access');
    for (const [client, deviceId] of [
      [linked, 'a'],
      [granted, 'granted'],
    ] as const) {
      const again = client.send(address(deviceId));
      assert.equal((await again.ending()).condition, 'amqp:unauthorized-access', `a new link of ${deviceId}`);
    }
    // The others live: the module has keys of its own, and of a rotation one key is left.
    await part.ping();
    await rotated.ping();
    assert.equal((await mqtt(hub, 'm', 1)).returnCode, 5);
    const back = await mqtt(hub, 'm', 3);
    assert.equal(back.returnCode, 0);
    // A new token on the old connection opens it again.
    await granted.putToken(await tokenOf('granted', 3), 'localhost/devices/granted');
    await granted.send(address('granted')).opened();
    // The second step of the rotation: the key that this connection came by is gone now, and so is the other of its time.
    await api.devices.update('rotated', keys(3, 4));
    await within('the end of the rotated connection', rotated.untilClosed());
    for (const client of [part, back.client]) client.destroy();
    for (const client of [linked, granted]) await client.close();
    api.close();
  });
}

test('a token that lasts longer than the hub allows is refused, whoever signed it; off until set', async () => {
  await using hub = await startHub({ args: ['--token-life-hours-max', '1', '--refusal-delay-seconds', '0'] });
  const api = apiOf(hub);
  await api.devices.create('d1', keys(1, 2));
  const post = async (lifeMs: number): Promise<number> => {
    const client = await AmqpDriver.connect(hub.endpoints.ports.amqp ?? 0, {});
    const answer = await client.putToken(await tokenOf('d1', 1, lifeMs), 'localhost/devices/d1');
    await client.close();
    return answer.application_properties?.['status-code'];
  };
  assert.equal(await post(3_500_000), 200);
  assert.equal(await post(5_000_000), 401);
  api.close();
});
