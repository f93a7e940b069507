/**
 * Who holds old keys: when both keys of an identity are replaced, or its kind of authentication is changed, what was opened
 * by them ends, on every protocol and thread, and opens nothing more. One key replaced alone is a rotation and ends nothing.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type http from 'node:http';
import https from 'node:https';
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

/** Of a message by HTTP. */
async function statusOf(hub: TestHub, path: string, key: number): Promise<number | undefined> {
  const url = `https://localhost:${hub.endpoints.ports.https}/devices/${path}/messages/events?api-version=2021-04-12`;
  const headers = { authorization: await tokenOf(path, key) };
  const request = https.request(url, { method: 'POST', ca: hub.ca, headers, agent: false });
  request.end('x');
  const [answer] = (await once(request, 'response')) as [http.IncomingMessage];
  answer.resume();
  return answer.statusCode;
}

const address = (deviceId: string): string => `/devices/${deviceId}/messages/events`;

for (const threads of ['1', '2']) {
  test(`changed keys end what the old ones opened (threads: ${threads})`, async () => {
    await using hub = await startHub({ args: ['--threads', threads, '--refusal-delay-seconds', '0'] });
    const api = apiOf(hub);
    for (const id of ['m', 'a', 'granted', 'rotated', 'kind', 'kind-a']) await api.devices.create(id, keys(1, 2));
    await api.modules.create('m', 'part', keys(5, 6));
    for (const part of ['mqtt', 'amqp']) await api.modules.create('m', part, keys(5, 6));
    const module = (await mqtt(hub, 'm/mqtt', 5)).client;
    const ofModule = await amqp(hub, 'm/modules/amqp', 5);
    const moduleSender = ofModule.send(address('m/modules/amqp'));
    const ofKind = await amqp(hub, 'kind-a', 1);
    const kindSender = ofKind.send(address('kind-a'));
    await Promise.all([moduleSender.opened(), kindSender.opened()]);
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
    for (const id of ['kind', 'kind-a']) {
      await api.devices.update(id, { authentication: { type: 'certificateAuthority' } });
    }
    for (const part of ['mqtt', 'amqp']) await api.modules.update('m', part, keys(7, 8));

    await within('the end of the MQTT connection', device.untilClosed());
    await within('the end of the connection of another kind', kind.untilClosed());
    await within('the end of the connection of a module', module.untilClosed());
    for (const link of [sender, kindSender, moduleSender]) {
      assert.equal((await link.ending()).condition, 'amqp:unauthorized-access');
    }
    assert.equal(await statusOf(hub, 'a', 3), 204, 'by HTTP with a key that it has now');
    for (const [id, key] of [
      ['a', 1],
      ['kind', 1],
      ['m/modules/mqtt', 5],
    ] as const) {
      assert.equal(await statusOf(hub, id, key), 401, `${id} by HTTP with a key that it had`);
    }
    for (const [client, deviceId] of [
      [linked, 'a'],
      [granted, 'granted'],
      [ofKind, 'kind-a'],
      [ofModule, 'm/modules/amqp'],
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
    for (const client of [linked, granted, ofKind, ofModule]) await client.close();
    api.close();
  });
}

test('a token that lasts longer than the hub allows is refused, whichever key signed it; off until set', async () => {
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
