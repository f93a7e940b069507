import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hostNames } from '../../core/identity/host-names.ts';
import { parseUserName } from './user-name.ts';

const names = hostNames('mooring', ['localhost', '127.0.0.1', 'hub.example']);
const parse = (text: string): unknown => {
  const found = parseUserName(text, names);
  return found === undefined ? undefined : [found.hostName, found.key, found.modelId];
};

test('the user names that the device SDKs send are understood', () => {
  const agent = 'DeviceClientType=azure-iot-device%2F1.18.4%20(node%20v20.20.2%3B%20Debian%2012%3B%20x64)';
  assert.deepEqual(parse(`localhost/d1/?api-version=2021-04-12&${agent}`), [
    'localhost',
    { deviceId: 'd1' },
    undefined,
  ]);
  assert.deepEqual(parse(`LOCALHOST:8884/d1/m1/?api-version=2021-04-12&${agent}`), [
    'LOCALHOST:8884',
    { deviceId: 'd1', moduleId: 'm1' },
    undefined,
  ]);
  assert.deepEqual(
    parse(`hub.example/d1/?api-version=2020-09-30&model-id=dtmi%3Acom%3Aexample%3BA%3B1&${agent}`),
    ['hub.example', { deviceId: 'd1' }, 'dtmi:com:example;A;1'],
    'Java and Python encode the model',
  );
  assert.deepEqual(
    parse(`hub.example/d1/?api-version=2021-04-12&model-id=dtmi:com:example:Thermostat;1&${agent}`),
    ['hub.example', { deviceId: 'd1' }, 'dtmi:com:example:Thermostat;1'],
    'Node does not',
  );
});

test('the older forms without a query or without its question mark are understood', () => {
  assert.deepEqual(parse('localhost/d1'), ['localhost', { deviceId: 'd1' }, undefined]);
  assert.deepEqual(parse('localhost/d1/'), ['localhost', { deviceId: 'd1' }, undefined]);
  assert.deepEqual(parse('localhost/d1/m1/'), ['localhost', { deviceId: 'd1', moduleId: 'm1' }, undefined]);
  assert.deepEqual(parse('localhost/d1/api-version=2016-11-14&x=y'), ['localhost', { deviceId: 'd1' }, undefined]);
});

test('a query may name no api-version', () => {
  for (const query of ['DeviceClientType=azure-iot-device%2F1.0.14', '?DeviceClientType=x', '?model-id=a']) {
    const found = parseUserName(`localhost/d1/${query}`, names);
    assert.deepEqual(found?.key, { deviceId: 'd1' }, query);
  }
  const nodeRed = parseUserName('localhost/d1/DeviceClientType=azure-iot-device%2F1.0.14', names);
  assert.equal(nodeRed?.clientType, 'azure-iot-device/1.0.14');
});

test('of a query name that is given twice the first counts', () => {
  assert.deepEqual(parse('localhost/d1/?api-version=1&model-id=a&model-id=b'), ['localhost', { deviceId: 'd1' }, 'a']);
});

test('an id keeps the percent signs that it has', () => {
  assert.deepEqual(parse('localhost/d%201/?api-version=1'), ['localhost', { deviceId: 'd%201' }, undefined]);
});

for (const text of [
  '',
  'localhost',
  'localhost/',
  'localhost//?api-version=1',
  'localhost/d1//?api-version=1',
  'localhost/d1?api-version=1',
  'localhost/d1/m1/x/?api-version=1',
  'localhost/d1/?api-version=',
  'localhost/d1//',
  'localhost/d1/m1//',
  'other.example/d1/?api-version=1',
  '/d1/?api-version=1',
  '?api-version=1',
]) {
  test(`refused as a user name: "${text}"`, () => assert.equal(parse(text), undefined));
}
