/** Digital twins: the twin of a device as its model sees it, and commands of components. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digitalTwin, readDigitalPatch } from '../../src/core/twins/digital.ts';
import { changedTwin, freshTwin, readReportedPatch, readTwinChange, reportedTwin } from '../../src/core/twins/rules.ts';
import { httpConnections } from '../../src/protocols/http/connections.ts';
import { openHttpHub } from '../drivers/http.ts';
import { MqttDriver } from '../drivers/mqtt.ts';
import { openTestDoor } from '../drivers/mqtt-door.ts';

const version = 'api-version=2021-04-12';
const bytes = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

test('properties, writable properties with their acknowledgement, and components', () => {
  const desired = { rate: 5, unheard: 1, thermostat: { __t: 'c', target: 21 } };
  let { twin } = changedTwin(freshTwin(), readTwinChange(bytes({ properties: { desired } }), 'merge'), '*', 1000);
  const reported = {
    serial: 'x1',
    rate: { value: 4, ac: 200, av: 2, ad: 'done' },
    thermostat: { __t: 'c', temperature: 20.5, target: { value: 21, ac: 203, av: 2 } },
  };
  twin = reportedTwin(twin, readReportedPatch(bytes(reported)), 2000);
  const lastUpdateTime = '1970-01-01T00:00:02.0000000Z';
  assert.deepEqual(plain(digitalTwin('d1', 'dtmi:example:Device;1', twin)), {
    $dtId: 'd1',
    serial: 'x1',
    rate: 4,
    thermostat: {
      temperature: 20.5,
      target: 21,
      $metadata: {
        temperature: { lastUpdateTime },
        target: { desiredValue: 21, desiredVersion: 2, ackVersion: 2, ackCode: 203, lastUpdateTime },
      },
    },
    $metadata: {
      $model: 'dtmi:example:Device;1',
      serial: { lastUpdateTime },
      rate: { desiredValue: 5, desiredVersion: 2, ackVersion: 2, ackCode: 200, ackDescription: 'done', lastUpdateTime },
      unheard: { desiredValue: 1, desiredVersion: 2 },
    },
  });
});

test('a JSON Patch is a merge of desired properties; what is none of a model is refused', () => {
  const change = readDigitalPatch(
    bytes([
      { op: 'add', path: '/rate', value: 5 },
      { op: 'replace', path: '/thermostat/target', value: 21 },
      { op: 'remove', path: '/thermostat/old' },
      { op: 'add', path: '/lamp', value: { on: true, $metadata: {} } },
      { op: 'remove', path: '/gone' },
    ]),
  );
  assert.deepEqual(plain(change), {
    kind: 'merge',
    desired: {
      rate: 5,
      thermostat: { __t: 'c', target: 21, old: null },
      lamp: { __t: 'c', on: true },
      gone: null,
    },
  });
  for (const patch of [
    [{ op: 'move', path: '/a', value: 1 }],
    [{ op: 'add', path: 'a', value: 1 }],
    [{ op: 'add', path: '/a/b/c', value: 1 }],
    [{ op: 'add', path: '/a_', value: 1 }],
    [{ op: 'add', path: '/a', value: [1] }],
    [{ op: 'add', path: '/a', value: { $x: 1 } }],
    [{ op: 'add', path: '/a' }],
    [1],
  ]) {
    assert.throws(() => readDigitalPatch(bytes(patch)), { code: 'ArgumentInvalid' }, JSON.stringify(patch));
  }
  assert.throws(() => readDigitalPatch(bytes({})), { code: 'IotHubFormatError' });
});

test('GET shows it with its ETag, PATCH answers 202 with ETag and Location', async () => {
  await using http = await openHttpHub();
  await http.client().devices.create('d1');
  const fresh = await http.request('GET', `/digitaltwins/d1?${version}`);
  assert.deepEqual([fresh.status, JSON.parse(fresh.body)], [200, { $dtId: 'd1', $metadata: { $model: '' } }]);
  const patched = await http.request('PATCH', `/digitaltwins/d1?${version}`, {
    body: JSON.stringify([{ op: 'add', path: '/rate', value: 5 }]),
    headers: { 'content-type': 'application/json-patch+json', 'if-match': fresh.headers.etag },
  });
  assert.deepEqual([patched.status, patched.body, patched.headers.location], [202, '', '/digitaltwins/d1']);
  assert.notEqual(patched.headers.etag, fresh.headers.etag);
  const again = await http.request('GET', `/digitaltwins/d1?${version}`);
  assert.equal(JSON.parse(again.body).$metadata.rate.desiredValue, 5);
  const stale = await http.request('PATCH', `/digitaltwins/d1?${version}`, {
    body: [{ op: 'remove', path: '/rate' }],
    headers: { 'if-match': fresh.headers.etag },
  });
  assert.equal(stale.status, 412);
  const gone = await http.request('POST', `/digitaltwins/d1/components/c/commands/go?${version}`, { body: 1 });
  assert.deepEqual([gone.status, gone.headers['iothub-errorcode']], [404, 'DeviceNotOnline']);
});

test('a device names its model when it connects; a command of a component reaches it under its own name', async () => {
  await using door = await openTestDoor();
  const http = await httpConnections(door.hub, {});
  await door.create({ deviceId: 'd1' });
  const credentials = await door.credentials({ deviceId: 'd1' });
  const { client } = await MqttDriver.connect(door.place, {
    ...credentials,
    username: `${credentials.username}&model-id=${encodeURIComponent('dtmi:example:Device;1')}`,
  });
  client.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: '$iothub/methods/POST/#', qos: 0 }] });
  await client.next('suback');
  await client.ping();
  assert.equal((await door.hub.twins.get(door.owner, { deviceId: 'd1' })).modelId, 'dtmi:example:Device;1');
  assert.ok(
    JSON.stringify(http.openApi()).includes('/digitaltwins/{deviceId}/components/{component}/commands/{command}'),
  );
  const invoked = door.hub.methods.invoke(
    door.owner,
    { deviceId: 'd1' },
    { name: 'thermostat*getReport', payload: '1', responseMs: 5000, connectMs: 0 },
    new AbortController().signal,
  );
  const { topic } = await client.next('publish');
  assert.match(topic, /^\$iothub\/methods\/POST\/thermostat\*getReport\/\?\$rid=/);
  client.publish({ topic: `$iothub/methods/res/200/?${topic.slice(topic.indexOf('?') + 1)}`, payload: '{"a":1}' });
  assert.deepEqual(await invoked, { status: 200, payload: '{"a":1}' });
  client.destroy();
});
