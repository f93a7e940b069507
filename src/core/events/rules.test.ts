import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits } from '../../base/limits.ts';
import { HubError } from '../errors.ts';
import type { DevicePrincipal } from '../identity/types.ts';
import {
  checkConsumerGroupName,
  checkTelemetry,
  parsePartition,
  partitionOf,
  telemetryBytes,
  telemetryStamp,
} from './rules.ts';
import type { Telemetry } from './types.ts';

const isRefusal = (code: string) => (error: unknown) => error instanceof HubError && error.code === code;
const device: DevicePrincipal = {
  kind: 'device',
  key: { deviceId: 'd1' },
  generationId: 'g1',
  expiresAt: Number.POSITIVE_INFINITY,
  authScope: 'device',
  authType: 'sas',
};
const message = (change: Partial<Telemetry>): Telemetry => ({
  system: {},
  properties: [],
  body: Buffer.alloc(0),
  ...change,
});

test('the partition of a device never changes', () => {
  // Of 2, 4, 7 and 32 partitions; computed apart from this program.
  const vectors: readonly (readonly [string, readonly number[]])[] = [
    ['d', [0, 2, 5, 14]],
    ['device1', [0, 2, 1, 2]],
    ['device2', [1, 3, 1, 7]],
    ['myDevice', [1, 1, 0, 5]],
    ['sensor-0001', [1, 1, 5, 9]],
    ['sensor-0002', [1, 1, 5, 17]],
    ['A', [0, 0, 4, 20]],
    ['a', [1, 3, 0, 19]],
    ["!#$%&'*+,-.", [0, 0, 1, 0]],
    ['x'.repeat(128), [0, 0, 4, 28]],
  ];
  for (const [deviceId, expected] of vectors) {
    const actual = [2, 4, 7, 32].map((count) => partitionOf(deviceId, count));
    assert.deepEqual(actual, expected, deviceId);
  }
});

test('devices with ids that count up spread over the partitions', () => {
  const counts = new Array<number>(32).fill(0);
  for (let at = 0; at < 32_000; at++) counts[partitionOf(`device-${at}`, counts.length)]++;
  assert.ok(Math.min(...counts) > 850 && Math.max(...counts) < 1150, counts.join(' '));
});

test('body, system values, and names and values of properties count against the size', () => {
  const telemetry = message({
    system: { messageId: 'ünï', creationTime: 1 },
    properties: [
      ['name', 'value'],
      ['alone', null],
    ],
    body: Buffer.alloc(100),
  });
  assert.equal(telemetryBytes(telemetry), 100 + 5 + 8 + 4 + 5 + 5);
  checkTelemetry(telemetry, { deviceId: 'd1' }, 127);
  assert.throws(() => checkTelemetry(telemetry, { deviceId: 'd1' }, 126), isRefusal('MessageTooLarge'));
});

test('a message has a bounded number of properties', () => {
  const properties = Array.from({ length: limits.messagePropertiesMax }, (_, at) => [`p${at}`, ''] as const);
  checkTelemetry(message({ properties }), { deviceId: 'd1' }, limits.telemetryBytesMax);
  const more = message({ properties: [...properties, ['one', 'more']] });
  assert.throws(() => checkTelemetry(more, { deviceId: 'd1' }, limits.telemetryBytesMax), isRefusal('ArgumentInvalid'));
});

test('the stamp says who sent it and how it proved to be it', () => {
  assert.deepEqual(telemetryStamp(device, { deviceId: 'd1' }), {
    deviceId: 'd1',
    generationId: 'g1',
    authMethod: '{"scope":"device","type":"sas","issuer":"iothub","acceptingIpFilterRule":null}',
    source: 'Telemetry',
  });
  const module: DevicePrincipal = { ...device, authScope: 'module', authType: 'x509' };
  assert.deepEqual(telemetryStamp(module, { deviceId: 'd1', moduleId: 'm1' }, 'dtmi:a:b;1'), {
    deviceId: 'd1',
    moduleId: 'm1',
    generationId: 'g1',
    authMethod: '{"scope":"module","type":"x509","issuer":"iothub","acceptingIpFilterRule":null}',
    source: 'Telemetry',
    modelId: 'dtmi:a:b;1',
  });
});

test('names of consumer groups', () => {
  for (const name of ['a', 'Group-1', 'a.b_c', 'x'.repeat(50)]) checkConsumerGroupName(name);
  for (const name of ['', '$Default', '-a', 'a.', 'a b', 'a/b', 'ä', 'x'.repeat(51)]) {
    assert.throws(() => checkConsumerGroupName(name), isRefusal('ArgumentInvalid'), name);
  }
});

test('partitions are named by their number', () => {
  assert.deepEqual(
    ['0', '3', '4', '03', '-1', '1.0', '', ' 1', '9'.repeat(30)].map((text) => parsePartition(text, 4)),
    [0, 3, ...new Array(7).fill(undefined)],
  );
});
