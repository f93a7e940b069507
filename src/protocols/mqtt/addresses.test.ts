import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits } from '../../base/limits.ts';
import {
  type Grants,
  grant,
  grantCount,
  grantedQosOf,
  grantsOf,
  isGranted,
  methodTopic,
  NO_GRANTS,
  publishTarget,
  revoke,
  subscriptionsOf,
  twinResponseTopic,
} from './addresses.ts';

const device = { deviceId: 'd1' };
const module = { deviceId: 'd1', moduleId: 'm1' };

for (const [topic, propertyBag] of [
  ['devices/d1/messages/events', ''],
  ['devices/d1/messages/events/', ''],
  ['devices/d1/messages/events/a=b', 'a=b'],
  ['devices/d1/messages/events/a=b/', 'a=b'],
  ['devices/d1/messages/events/a=b/c&d=e', 'a=b/c&d=e'],
]) {
  test(`telemetry of a device: ${topic}`, () => {
    assert.deepEqual(publishTarget(topic, device), { kind: 'telemetry', propertyBag });
  });
}

test('telemetry of a module has its own topic, and a device that of no module', () => {
  const topic = 'devices/d1/modules/m1/messages/events/%24.on=out/';
  assert.deepEqual(publishTarget(topic, module), { kind: 'telemetry', propertyBag: '%24.on=out' });
  assert.equal(publishTarget(topic, device), undefined);
  assert.equal(publishTarget('devices/d1/messages/events/', module), undefined);
});

test('ids with signs that are special in MQTT stay what they are', () => {
  assert.equal(publishTarget('devices/a+b#c/messages/events/', { deviceId: 'a+b#c' })?.kind, 'telemetry');
});

test('twin and method topics are understood, the request id as it stands', () => {
  assert.deepEqual(publishTarget('$iothub/twin/GET/?$rid=a%20b', device), { kind: 'twinGet', requestId: 'a%20b' });
  assert.deepEqual(publishTarget('$iothub/twin/PATCH/properties/reported/?$rid=7&$version=3', device), {
    kind: 'twinPatch',
    requestId: '7',
    version: 3,
  });
  const response = (topic: string) => publishTarget(topic, module);
  const answered = { kind: 'methodResponse', status: 200, id: 0xab };
  assert.deepEqual(response('$iothub/methods/res/200/?$rid=ab'), answered);
  assert.deepEqual(response('$iothub/methods/res/-1/?$rid=none'), { ...answered, status: -1, id: undefined });
  assert.equal(methodTopic('reboot', 0xab), '$iothub/methods/POST/reboot/?$rid=ab');
  assert.equal(twinResponseTopic(501, 'a%20b'), '$iothub/twin/res/501/?$rid=a%20b');
});

for (const topic of [
  'devices/d2/messages/events/',
  'devices/d1/messages/eventsx',
  'devices/d1/messages/devicebound/',
  'devices/+/messages/events/',
  'devices/D1/messages/events/',
  '/devices/d1/messages/events/',
  'devices/d11/messages/events',
  '$iothub/twin/GET/',
  `$iothub/twin/GET/?$rid=${'x'.repeat(limits.mqttRequestIdCharsMax + 1)}`,
  '$iothub/methods/res/ok/?$rid=1',
  '$iothub/methods/res/200/?',
  '$iothub/methods/POST/reboot/?$rid=1',
  'telemetry',
]) {
  test(`not an address of the device: ${topic.slice(0, 60)}`, () =>
    assert.equal(publishTarget(topic, device), undefined));
}

const deviceFilters = [
  'devices/d1/messages/devicebound/#',
  'devices/+/messages/devicebound/#',
  '$iothub/twin/res/#',
  '$iothub/twin/PATCH/properties/desired/#',
  '$iothub/methods/POST/#',
];
const moduleFilters = [
  'devices/d1/modules/m1/messages/devicebound/#',
  'devices/d1/modules/m1/inputs/#',
  'devices/d1/modules/m1/#',
  '$iothub/twin/res/#',
  '$iothub/twin/PATCH/properties/desired/#',
  '$iothub/methods/POST/#',
];

for (const [key, filters] of [
  [device, deviceFilters],
  [module, moduleFilters],
] as const) {
  test(`each documented filter of ${JSON.stringify(key)} is granted, stored and taken back by itself`, () => {
    let all: Grants = NO_GRANTS;
    for (const [at, filter] of filters.entries()) {
      const granted = grant(all, key, filter, at % 3);
      assert.ok(granted !== undefined, filter);
      all = granted;
      assert.equal(grantCount(all), at + 1);
    }
    const stored = subscriptionsOf(all, key);
    assert.deepEqual(
      new Map(stored.map((entry) => [entry.filter, entry.qos])),
      new Map(filters.map((filter, at) => [filter, at % 3 === 0 ? 0 : 1])),
    );
    assert.equal(grantsOf(stored, key), all);
    for (const filter of filters) all = revoke(all, key, filter);
    assert.equal(all, NO_GRANTS);
  });
}

test('a filter that is granted again has the newer QoS', () => {
  const twice = grant(grant(NO_GRANTS, device, '$iothub/twin/res/#', 1) ?? 0, device, '$iothub/twin/res/#', 0);
  assert.deepEqual(subscriptionsOf(twice ?? 0, device), [{ filter: '$iothub/twin/res/#', qos: 0 }]);
});

test('what is granted is known by its kind', () => {
  const grants = grant(NO_GRANTS, device, 'devices/+/messages/devicebound/#', 1) ?? 0;
  assert.ok(isGranted(grants, 'commands'));
  assert.ok(!isGranted(grants, 'twinResponses'));
});

test('of two filters for the same, the higher QoS counts', () => {
  assert.equal(grantedQosOf(NO_GRANTS, 'commands'), undefined);
  const one = grant(NO_GRANTS, device, 'devices/d1/messages/devicebound/#', 0) ?? 0;
  assert.equal(grantedQosOf(one, 'commands'), 0);
  const both = grant(one, device, 'devices/+/messages/devicebound/#', 1) ?? 0;
  assert.equal(grantedQosOf(both, 'commands'), 1);
});

for (const filter of [
  '#',
  'devices/#',
  'devices/d2/messages/devicebound/#',
  'devices/d1/messages/devicebound',
  'devices/d1/messages/events/#',
  'devices/d1/modules/m1/inputs/#',
  '$iothub/#',
  '$iothub/twin/res/+',
]) {
  test(`not a filter of the device: ${filter}`, () => assert.equal(grant(NO_GRANTS, device, filter, 0), undefined));
}

test('filters in the store that are no longer documented are left out', () => {
  assert.equal(grantsOf([{ filter: 'old/#', qos: 1 }], device), NO_GRANTS);
});
