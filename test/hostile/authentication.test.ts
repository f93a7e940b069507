/**
 * Ways to be another identity: tokens for one thing used for another, names that read as two, identities that were changed,
 * links to the addresses of others. Each must end in a refusal, all of one form. How long refusals take is printed.
 */
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { after, test } from 'node:test';
import { parseConnectionString } from '../../src/api/connection-string.ts';
import { performative } from '../../src/wire/amqp/performatives.ts';
import { RawAmqp } from '../drivers/amqp.ts';
import { attach, begin, HEADER, open, plain, SASL_HEADER } from '../drivers/amqp-bytes.ts';
import { apiOf } from '../drivers/api.ts';
import { startHub } from '../drivers/hub.ts';
import { MqttDriver } from '../drivers/mqtt.ts';

const hub = await startHub({ args: ['--refusal-delay-seconds', '0'] });
after(() => hub[Symbol.asyncDispose]());
const { ports, connectionStrings, hubName } = hub.endpoints;
const api = apiOf(hub);
after(() => api.close());
const keyOf = (fill: number): string => Buffer.alloc(32, fill).toString('base64');
const withKey = (fill: number) => ({
  authentication: { symmetricKey: { primaryKey: keyOf(fill), secondaryKey: keyOf(fill + 100) } },
});
await api.devices.create('d1', withKey(1));
await api.devices.create('d10', withKey(2));
await api.devices.create('D1', withKey(3));
await api.devices.create('d%31', withKey(4));
await api.modules.create('d1', 'm1', withKey(5));
await api.devices.create('off', withKey(6));
const policyKey = (name: keyof typeof connectionStrings): string =>
  parseConnectionString(connectionStrings[name]).get('sharedaccesskey') ?? '';

function sign(
  resource: string,
  key: string,
  more: { policy?: string; sent?: string; se?: string; extra?: string } = {},
): string {
  const se = more.se ?? String(Math.floor(Date.now() / 1000) + 600);
  const sr = encodeURIComponent(resource);
  const sig = createHmac('sha256', Buffer.from(key, 'base64')).update(`${sr}\n${se}`).digest('base64');
  const skn = more.policy === undefined ? '' : `&skn=${more.policy}`;
  return `SharedAccessSignature sr=${more.sent ?? sr}&sig=${encodeURIComponent(sig)}&se=${se}${skn}${more.extra ?? ''}`;
}

async function mqtt(
  name: string,
  token: string,
  username = `localhost/${name}/?api-version=2021-04-12`,
): Promise<number> {
  const fields = { clientId: name, username, password: Buffer.from(token) };
  const { client, returnCode } = await MqttDriver.connect({ port: ports.mqtt ?? 0 }, fields);
  client.destroy();
  return returnCode;
}

test('who is himself gets in: what follows is not refused for another reason', async () => {
  assert.equal(await mqtt('d1', sign('localhost/devices/d1', keyOf(1))), 0);
  assert.equal(await mqtt('D1', sign('localhost/devices/D1', keyOf(3))), 0);
  assert.equal(await mqtt('d%31', sign('localhost/devices/d%31', keyOf(4))), 0);
  assert.equal(await mqtt('d1/m1', sign('localhost/devices/d1/modules/m1', keyOf(5))), 0);
  assert.equal(await mqtt('d1', sign('localhost/devices/d1', policyKey('device'), { policy: 'device' })), 0);
});

test('a token of one identity or policy is none of another', async () => {
  const own = 'localhost/devices/d1';
  const cases: [what: string, name: string, token: string][] = [
    ['another device of the same beginning', 'd10', sign(own, keyOf(1))],
    ['the shorter name', 'd1', sign('localhost/devices/d10', keyOf(2))],
    ['another spelling', 'D1', sign(own, keyOf(1))],
    ['the same by decoding', 'd1', sign('localhost/devices/d%31', keyOf(4))],
    ['decoded the other way', 'd%31', sign(own, keyOf(1))],
    ['a device as its module', 'd1/m1', sign(own, keyOf(1))],
    ['a module as its device', 'd1', sign('localhost/devices/d1/modules/m1', keyOf(5))],
    ['own key for another name', 'd1', sign(own, keyOf(2))],
    ['own key of another device, for the whole hub', 'd1', sign('localhost', keyOf(2))],
    ['own key, called a policy', 'd1', sign(own, keyOf(1), { policy: 'device' })],
    ['own key, called the owner', 'd1', sign('localhost', keyOf(1), { policy: 'iothubowner' })],
    ['a policy of another permission', 'd1', sign(own, policyKey('service'), { policy: 'service' })],
    ['the key of one policy, the name of another', 'd1', sign(own, policyKey('service'), { policy: 'device' })],
    ['a policy by a name of objects', 'd1', sign(own, policyKey('device'), { policy: '__proto__' })],
    ['a policy in another spelling', 'd1', sign(own, policyKey('device'), { policy: 'DEVICE' })],
    ['a policy with NUL', 'd1', sign(own, policyKey('device'), { policy: 'device%00' })],
    ['a policy for another device', 'd1', sign('localhost/devices/d10', policyKey('device'), { policy: 'device' })],
    ['a policy for a part of the name', 'd10', sign(own, policyKey('device'), { policy: 'device' })],
    ['two policies', 'd1', sign(own, keyOf(1), { policy: 'device', extra: '&skn=' })],
    ['two resources', 'd1', sign('localhost/devices/d10', keyOf(2), { extra: '&sr=localhost%2Fdevices%2Fd1' })],
    ['another host', 'd1', sign('evil.example/devices/d1', keyOf(1))],
    ['a host behind an at sign', 'd1', sign('localhost@evil.example/devices/d1', keyOf(1))],
    ['a path that climbs', 'd1', sign('localhost/devices/d10/../d1', keyOf(2))],
    ['NUL behind the name', 'd1', sign('localhost/devices/d1\0', keyOf(1))],
    ['an unsigned resource', 'd1', sign('localhost/devices/d10', keyOf(2), { sent: 'localhost%2Fdevices%2Fd1' })],
    ['encoded thrice', 'd1', sign(encodeURIComponent(encodeURIComponent(own)), keyOf(1))],
    ['ended', 'd1', sign(own, keyOf(1), { se: '1' })],
    ['an end that is none', 'd1', sign(own, keyOf(1), { se: '1e99' })],
    ['an end below zero', 'd1', sign(own, keyOf(1), { se: '-1' })],
    ['a key for a token', 'd1', keyOf(1)],
    ['nothing', 'd1', ''],
    ['very long', 'd1', `${sign(own, keyOf(1))}&x=${'y'.repeat(5000)}`],
  ];
  for (const [what, name, token] of cases) assert.equal(await mqtt(name, token), 5, what);
});

test('names that read as two are nobody', async () => {
  const token = sign('localhost/devices/d1', keyOf(1));
  const names = [
    'd1/',
    '/d1',
    'd1//',
    'd1/m1/',
    'd1\\m1',
    ' d1',
    'd1 ',
    'd1\u200b',
    'ｄ1',
    'd1%00',
    '%64%31',
    'd1/../d10',
    'd1#',
    'd1+',
  ];
  for (const name of names) assert.notEqual(await mqtt(name, token), 0, name);
  // The name of the user and that of the client must be one.
  assert.equal(await mqtt('d10', token, 'localhost/d1/?api-version=2021-04-12'), 2);
  assert.notEqual(await mqtt('d1', token, 'evil.example/d1/?api-version=2021-04-12'), 0);
});

test('what was true of an identity before is not true after: disabled, re-created, given other keys', async () => {
  const token = sign('localhost/devices/off', keyOf(6));
  const place = { port: ports.mqtt ?? 0 };
  const fields = { clientId: 'off', username: 'localhost/off/?api-version=2021-04-12', password: Buffer.from(token) };
  const { client } = await MqttDriver.connect(place, fields);
  await api.devices.update('off', { ...(await api.devices.get('off')), status: 'disabled' });
  await client.untilClosed();
  assert.equal(await mqtt('off', token), 5);
  await api.devices.delete('off');
  assert.equal(await mqtt('off', token), 5);
  await api.devices.create('off', withKey(7));
  assert.equal(await mqtt('off', token), 5, 'the token of its predecessor');
  assert.equal(await mqtt('off', sign('localhost/devices/off', keyOf(7))), 0);
});

test('over AMQP, a device opens its own addresses and nobody else’s', async () => {
  const cases: readonly (readonly [address: string, receives: boolean])[] = [
    ['/devices/d10/messages/events', false],
    ['/devices/d10/messages/devicebound', true],
    ['/devices/d1/modules/m1/messages/events', false],
    ['/devices/D1/messages/events', false],
    ['/devices/%64%31%30/messages/events', false],
    ['/devices/d1/../d10/messages/events', false],
    ['amqps://localhost/devices/d10/messages/events', false],
    ['/messages/devicebound', false],
    ['/messages/serviceBound/feedback', true],
    [`${hubName}/ConsumerGroups/$Default/Partitions/0`, true],
  ];
  for (const [address, receives] of cases) {
    const raw = await RawAmqp.connect(ports.amqp ?? 0);
    raw.write(SASL_HEADER, plain(`d1@sas.${hubName}`, sign('localhost/devices/d1', keyOf(1))));
    await raw.frame(performative.saslOutcome);
    raw.write(HEADER, open(), begin(0), attach(0, 'own', 0, false, '/devices/d1/messages/events'));
    await raw.frame(performative.flow);
    raw.write(attach(0, 'foreign', 1, receives, address));
    const [, , error] = (await raw.frame(performative.detach)) as [unknown, unknown, { value: readonly unknown[] }];
    assert.equal(error.value[0], 'amqp:unauthorized-access', address);
    raw.socket.destroy();
  }
});

test('refusals take as long for every kind of client: printed', async () => {
  const groups: Readonly<Record<string, () => string[]>> = {
    'wrong key': () => ['d1', sign('localhost/devices/d1', keyOf(9))],
    'unknown device': () => ['nobody', sign('localhost/devices/nobody', keyOf(9))],
    'ended token': () => ['d1', sign('localhost/devices/d1', keyOf(1), { se: '1' })],
    'unknown policy': () => ['d1', sign('localhost/devices/d1', keyOf(9), { policy: 'nobody' })],
    'wrong policy key': () => ['d1', sign('localhost/devices/d1', keyOf(9), { policy: 'device' })],
  };
  const samples = new Map(Object.keys(groups).map((name) => [name, [] as number[]]));
  for (let round = 0; round < 60; round++) {
    for (const [name, make] of Object.entries(groups)) {
      const [device, token] = make();
      const begun = performance.now();
      assert.equal(await mqtt(device, token), 5);
      samples.get(name)?.push(performance.now() - begun);
    }
  }
  for (const [name, list] of samples) {
    const sorted = list.sort((a, b) => a - b);
    console.log(
      `${name.padEnd(18)} median ${sorted[30].toFixed(2)} ms, quartiles ${sorted[15].toFixed(2)} to ${sorted[45].toFixed(2)}`,
    );
  }
});
