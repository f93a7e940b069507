/** Why a device cannot connect, when it did, and who has changed what. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { ApiClient } from '../../src/api/client.ts';
import type { ConnectionEventsJson, RefusalsJson } from '../../src/api/device-events.ts';
import { signSas } from '../../src/api/sas.ts';
import { apiOf } from '../drivers/api.ts';
import { startHub, type TestHub } from '../drivers/hub.ts';
import { MonitoringReader } from '../drivers/monitoring.ts';
import { connectPacket, MqttDriver } from '../drivers/mqtt.ts';
import { type PortalSession, signIn } from '../drivers/portal.ts';
import { until } from '../drivers/until.ts';

let hub: TestHub;
let api: ApiClient;
let owner: PortalSession;

before(async () => {
  hub = await startHub({ args: ['--mqtt-port', '0'] });
  api = apiOf(hub);
  owner = await signIn(hub);
});
after(async () => {
  api.close();
  await hub[Symbol.asyncDispose]();
});

async function connect(deviceId: string, key: string, expiresAt = Date.now() + 60_000): Promise<MqttDriver> {
  const token = await signSas({ resource: `localhost/devices/${deviceId}`, key, expiresAt });
  const driver = await MqttDriver.open({ port: hub.endpoints.ports.mqtt as number });
  const username = `localhost/${deviceId}/?api-version=2021-04-12`;
  driver.send(connectPacket({ clientId: deviceId, username, password: Buffer.from(token) }));
  await driver.next('connack');
  return driver;
}

async function refusals(deviceId: string, session = owner): Promise<RefusalsJson['refusals']> {
  const answer = await session.fetch(`/portal/api/mooring/v1/refusals?deviceId=${encodeURIComponent(deviceId)}`);
  assert.equal(answer.status, 200, await answer.clone().text());
  return ((await answer.json()) as RefusalsJson).refusals;
}

async function connections(deviceId: string): Promise<ConnectionEventsJson['events']> {
  const answer = await owner.fetch(`/portal/api/mooring/v1/connections?deviceId=${encodeURIComponent(deviceId)}`);
  return ((await answer.json()) as ConnectionEventsJson).events;
}

const otherKey = Buffer.alloc(32, 7).toString('base64');

test('each refusal of a device is explained, newest first, also of one that does not exist', async () => {
  const device = await api.devices.create('why-1');
  const key = device.authentication.symmetricKey.primaryKey ?? '';
  (await connect('why-1', otherKey)).destroy();
  (await connect('why-1', key, Date.now() - 3_600_000)).destroy();
  await api.devices.update('why-1', { status: 'disabled' });
  (await connect('why-1', key)).destroy();
  (await connect('why-none', key)).destroy();
  await until('three are told', async () => (await refusals('why-1')).length >= 3);
  const found = await refusals('why-1');
  assert.deepEqual(
    found.map(({ code }) => code),
    ['disabled-identity', 'expired-token', 'wrong-key'],
  );
  for (const { sentence, remedy, count, time } of found) {
    assert.match(sentence, /^The .*\.$/);
    assert.ok(remedy.length > 10 && count >= 1);
    assert.ok(Math.abs(Date.parse(time) - Date.now()) < 120_000);
  }
  await until('it is told', async () => (await refusals('why-none'))[0]?.code === 'unknown-identity');
  assert.deepEqual(await refusals("why'`<b>"), []);
  const reader = await signIn(hub, { connectionString: hub.endpoints.connectionStrings.registryRead });
  const refused = await reader.fetch('/portal/api/mooring/v1/refusals?deviceId=why-1');
  assert.equal(refused.headers.get('iothub-errorcode'), 'IotHubUnauthorizedAccess');
  assert.equal((await owner.fetch('/portal/api/mooring/v1/refusals')).status, 400);
});

test('what was refused to a back end that asked for something of the device is told apart from its own refusals', async () => {
  await api.devices.create('why-2');
  (await connect('why-2', otherKey)).destroy();
  const json = { methodName: 'reboot', responseTimeoutInSeconds: 5 };
  const answer = await owner.fetch('/portal/api/twins/why-2/methods', { method: 'POST', json });
  assert.equal(answer.status, 404, 'it is not connected');
  await until('both are told', async () => (await refusals('why-2')).length >= 2);
  const found = await refusals('why-2');
  assert.deepEqual(
    found.map(({ by, policyName, code }) => [by, policyName, code]),
    [
      ['backEnd', 'iothubowner', 'DeviceNotOnline'],
      ['device', undefined, 'wrong-key'],
    ],
  );
  assert.match(
    found[0].sentence,
    /^A back end with the policy iothubowner wanted to call a method and was refused: the device is not connected/,
  );
  assert.match(found[0].remedy, /own connections/);
});

test('connections of a device are told with their reasons', async () => {
  const device = await api.devices.create('when-1');
  const key = device.authentication.symmetricKey.primaryKey ?? '';
  const first = await connect('when-1', key);
  const second = await connect('when-1', key);
  await first.closed;
  second.destroy();
  await until('four are told', async () => (await connections('when-1')).length === 4);
  const told = (await connections('when-1')).map(({ type, reason }) => [type, reason]);
  assert.deepEqual(told, [
    ['disconnected', 'connection-lost'],
    ['connected', undefined],
    ['disconnected', 'taken-over'],
    ['connected', undefined],
  ]);
  const [{ protocol, peer, correlationId }] = await connections('when-1');
  assert.equal(protocol, 'mqtt');
  assert.ok(peer !== undefined && correlationId !== undefined);
});

test('the audit log tells what was changed, by which policy and through which session, and no reads', async () => {
  await using stream = await MonitoringReader.open(hub);
  const session = await signIn(hub, { connectionString: hub.endpoints.connectionStrings.registryReadWrite });
  const opened = await stream.next(
    ({ type, policyName }) => type === 'sessionOpened' && policyName === 'registryReadWrite',
  );
  assert.equal(opened.session, session.facts.session);
  await session.fetch('/portal/api/devices/audit-1', { method: 'PUT', json: { deviceId: 'audit-1' } });
  await session.fetch('/portal/api/devices/audit-1');
  await session.fetch('/portal/api/devices/audit-1', { method: 'DELETE' });
  await api.devices.create('audit-2');
  await session.fetch('/portal/session', { method: 'DELETE' });
  const ended = await stream.next(({ type }) => type === 'sessionEnded');
  assert.deepEqual([ended.session, ended.reason], [session.facts.session, 'signed-out']);
  const done = stream.audit().filter(({ deviceId }) => String(deviceId).startsWith('audit-'));
  assert.deepEqual(
    done.map(({ operation, policyName, deviceId, session: through }) => [operation, policyName, deviceId, through]),
    [
      ['registry.write', 'registryReadWrite', 'audit-1', session.facts.session],
      ['registry.write', 'registryReadWrite', 'audit-1', session.facts.session],
      ['registry.write', 'iothubowner', 'audit-2', undefined],
    ],
  );
  assert.doesNotMatch(JSON.stringify([...stream.all(), ...stream.audit()]), new RegExp(session.csrf));
});
