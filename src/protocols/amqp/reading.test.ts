import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ErrorCode, errorTable } from '../../core/errors.ts';
import { OFFSET_BASE } from '../../core/events/types.ts';
import { hostNames } from '../../core/identity/host-names.ts';
import { Described } from '../../wire/amqp/values.ts';
import { readAddress } from './addresses.ts';
import { readPosition, readSelector } from './back-ends/positions.ts';
import { readPlainUser, readSaslInit } from './engine/sasl.ts';
import { conditionOf } from './refusals.ts';

test('addresses mean the same with and without a slash, as a path and as a URL, in any case', () => {
  const partition = { kind: 'partition', eventHub: 'Hub1', consumerGroup: '$Default', partition: '0' };
  for (const address of [
    'Hub1/ConsumerGroups/$Default/Partitions/0',
    '/Hub1/ConsumerGroups/$Default/Partitions/0',
    'Hub1/consumergroups/$Default/partitions/0',
    'amqps://localhost/Hub1/ConsumerGroups/$Default/Partitions/0',
    'amqps://localhost:5671/Hub1/ConsumerGroups/$Default/Partitions/0',
    'sb://127.0.0.1:5672/Hub1/ConsumerGroups/$Default/Partitions/0',
  ]) {
    assert.deepEqual(readAddress(address), partition, address);
  }
  assert.deepEqual(readAddress('$cbs'), { kind: 'cbs' });
  for (const address of [
    '$management',
    'Hub1/$management',
    '/hub1/$Management',
    'amqps://localhost/hub1/$management',
  ]) {
    assert.deepEqual(readAddress(address), { kind: 'management' }, address);
  }
  for (const address of ['Hub1', 'Hub1/Partitions/3', 'amqps://localhost/Hub1']) {
    assert.deepEqual(readAddress(address), { kind: 'eventHub', eventHub: 'Hub1' }, address);
  }
  const redirect = (stream: string, rest: string) => ({ kind: 'redirect', stream, rest });
  assert.deepEqual(readAddress('messages/events/'), redirect('telemetry', '/'));
  assert.deepEqual(readAddress('/messages/events/$management'), redirect('telemetry', '/$management'));
  assert.deepEqual(
    readAddress('amqps://localhost/messages/events/ConsumerGroups/cg/Partitions/1'),
    redirect('telemetry', '/ConsumerGroups/cg/Partitions/1'),
  );
  assert.deepEqual(readAddress('/messages/operationsMonitoringEvents/*'), redirect('monitoring', '/*'));
  const unknown = ['', '/', 'a/b', 'a/ConsumerGroups/b/Partitions', '//x/y/z', '/devices/d1/messages', '/devices/d1/x'];
  for (const address of [...unknown, '/devices/d1/modules/twin/y', '/messages/serviceBound/other']) {
    assert.deepEqual(readAddress(address), { kind: 'unknown' }, address);
  }
});

test("addresses of devices and of the hub's commands are taken in every SDK's spelling", () => {
  const device = (endpoint: string, deviceId: string, moduleId?: string) => ({
    kind: 'device',
    key: moduleId === undefined ? { deviceId } : { deviceId, moduleId },
    endpoint,
  });
  const cases: [string, unknown][] = [
    ['/devices/D-1/messages/events', device('events', 'D-1')],
    ['devices/D-1/messages/Events/', { kind: 'unknown' }],
    ['amqps://localhost:5671/devices/d%201/messages/deviceBound', device('commands', 'd 1')],
    ['amqps://localhost/devices/100%25/twin', device('twin', '100%')],
    ['/devices/100%/twin', device('twin', '100%')],
    ['/DEVICES/d1/methods/devicebound', device('methods', 'd1')],
    ['/devices/d1/modules/M%24/messages/events', device('events', 'd1', 'M$')],
    ['/devices/modules/twin', device('twin', 'modules')],
    ['/devices/d1/modules/m1/messages/devicebound', device('commands', 'd1', 'm1')],
    ['/messages/devicebound', { kind: 'commands' }],
    ['amqps://localhost:5671/messages/deviceBound', { kind: 'commands' }],
    ['messages/devicebound', { kind: 'commands' }],
    ['/messages/serviceBound/feedback', { kind: 'receipts' }],
    ['amqps://localhost/messages/servicebound/Feedback', { kind: 'receipts' }],
    ['/messages/serviceBound/filenotifications', { kind: 'fileNotifications' }],
  ];
  for (const [address, expected] of cases) assert.deepEqual(readAddress(address), expected, address);
});

test('every form of a start position is understood', () => {
  const expected: [string, unknown][] = [
    ["amqp.annotation.x-opt-offset > '-1'", { kind: 'start' }],
    ["amqp.annotation.x-opt-offset > '@latest'", { kind: 'end' }],
    ["amqp.annotation.x-opt-offset > '5'", { kind: 'start' }],
    [`amqp.annotation.x-opt-offset > '${OFFSET_BASE + 7}'`, { kind: 'sequence', sequence: 7, inclusive: false }],
    [`amqp.annotation.x-opt-offset >= ${OFFSET_BASE}`, { kind: 'sequence', sequence: 0, inclusive: true }],
    ["amqp.annotation.x-opt-sequence-number > '12'", { kind: 'sequence', sequence: 12, inclusive: false }],
    ["amqp.annotation.x-opt-sequence-number >= '12'", { kind: 'sequence', sequence: 12, inclusive: true }],
    ["amqp.annotation.x-opt-sequence-number > '-1'", { kind: 'start' }],
    ["amqp.annotation.x-opt-enqueued-time > '1700000000000'", { kind: 'time', time: 1700000000000, inclusive: false }],
    ['amqp.annotation.x-opt-enqueuedtimeutc >= 1700000000000', { kind: 'time', time: 1700000000000, inclusive: true }],
  ];
  for (const [selector, position] of expected) assert.deepEqual(readSelector(selector), position, selector);
  for (const selector of [
    '',
    "amqp.annotation.x-opt-offset < '1'",
    "amqp.annotation.x-opt-offset > 'abc'",
    "amqp.annotation.x-opt-offset > '99999999999999999999'",
    "amqp.annotation.x-opt-sequence-number > '@latest'",
    "amqp.annotation.other > '1'",
    "x = 'y'",
  ]) {
    assert.throws(() => readSelector(selector), { code: 'ArgumentInvalid' }, selector);
  }
});

test('a filter is found under its name, its number, its symbol, or bare', () => {
  const name = 'apache.org:selector-filter:string';
  const text = "amqp.annotation.x-opt-sequence-number > '3'";
  const position = { kind: 'sequence', sequence: 3, inclusive: false };
  assert.deepEqual(readPosition(new Map()), { kind: 'start' });
  assert.deepEqual(readPosition(new Map([['unknown:filter', text]])), { kind: 'start' });
  assert.deepEqual(readPosition(new Map([[name, text]])), position);
  assert.deepEqual(readPosition(new Map([[name, new Described(77567109365764, text)]])), position);
  assert.deepEqual(readPosition(new Map([['selector', new Described(name, text)]])), position);
  assert.throws(() => readPosition(new Map([[name, 5]])), { code: 'ArgumentInvalid' });
});

test('PLAIN users of every shape are told apart', () => {
  const names = hostNames('myhub', ['localhost']);
  assert.deepEqual(readPlainUser('service@sas.root.localhost', names), { kind: 'policyToken', policyName: 'service' });
  assert.deepEqual(readPlainUser('service@sas.root.MyHub', names), { kind: 'policyToken', policyName: 'service' });
  assert.equal(readPlainUser('service@sas.root.other', names), undefined);
  assert.deepEqual(readPlainUser('d@1@sas.myhub', names), { kind: 'deviceToken', key: { deviceId: 'd@1' } });
  const module = { kind: 'deviceToken', key: { deviceId: 'd1', moduleId: 'm1' } };
  assert.deepEqual(readPlainUser('d1/modules/m1@sas.myhub', names), module);
  assert.equal(readPlainUser('d1/modules/@sas.myhub', names), undefined);
  assert.equal(readPlainUser('d1@sas.other', names), undefined);
  assert.deepEqual(readPlainUser('service', names), { kind: 'policyKey', policyName: 'service' });
});

test('SASL answers that are none are refused', () => {
  assert.deepEqual(readSaslInit(['ANONYMOUS', null]), { kind: 'anonymous' });
  assert.deepEqual(readSaslInit(['MSSBCBS']), { kind: 'anonymous' });
  assert.deepEqual(readSaslInit(['EXTERNAL', Buffer.alloc(0)]), { kind: 'anonymous' });
  assert.deepEqual(readSaslInit(['PLAIN', Buffer.from('\0u\0p')]), { kind: 'plain', user: 'u', password: 'p' });
  for (const fields of [['PLAIN'], ['PLAIN', Buffer.from('u\0p')], ['PLAIN', 'text'], ['SCRAM-SHA-1'], [null], []]) {
    assert.equal(readSaslInit(fields), undefined);
  }
});

test('every error of the hub has an AMQP condition', () => {
  const conditions = Object.keys(errorTable).map((code) => conditionOf(code as ErrorCode));
  for (const condition of conditions) assert.match(condition, /^(amqp|com\.microsoft):[a-z:-]+$/);
  assert.equal(conditionOf('DeviceNotFound'), 'amqp:not-found');
  assert.equal(conditionOf('IotHubUnauthorized'), 'amqp:unauthorized-access');
  assert.equal(conditionOf('IotHubUnauthorizedAccess'), 'amqp:unauthorized-access');
  assert.equal(conditionOf('DeviceMaximumQueueDepthExceeded'), 'amqp:resource-limit-exceeded');
  assert.equal(conditionOf('MessageTooLarge'), 'amqp:link:message-size-exceeded');
  assert.equal(conditionOf('ServerError'), 'amqp:internal-error');
});
