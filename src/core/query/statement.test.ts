/** Whole queries: those that shipped tools send (query reference 1.5), and the rules of their parts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HubError } from '../errors.ts';
import { answerName, fieldOf } from './fields.ts';
import { parseQuery } from './statement.ts';
import type { Collection } from './syntax.ts';

const sent = [
  'SELECT * FROM devices',
  'select * from devices where capabilities.iotEdge = true',
  'SELECT deviceId, deviceScope FROM devices',
  "select deviceId from devices where array_contains(parentScopes, 'ms-azure-iot-edge://e-1')",
  `SELECT deviceId as DeviceId,
    status as Status,
    statusUpdatedTime as StatusUpdatedTime,
    cloudToDeviceMessageCount as CloudToDeviceMessageCount,
    capabilities.iotEdge as IotEdge, modelId as ModelId
    FROM devices WHERE (capabilities.iotEdge=true)`,
  "SELECT * FROM devices WHERE STARTSWITH(devices.deviceId, 'device1')",
  "SELECT * FROM devices.modules WHERE deviceId in ['d']",
  "select * from devices.modules where devices.deviceId='x'",
  "SELECT * FROM devices WHERE deviceId IN ['a', 'b']",
  'select properties.desired.KeyQuery3f2a-11 AS KeyQuery3f2a-11, COUNT() AS numberOfDevices from devices group by properties.desired.KeyQuery3f2a-11',
  'select * from devices.jobs',
  "SELECT deviceId FROM devices WHERE properties.reported.chillerWaterSettings.status='pending'",
  "SELECT deviceId FROM devices WHERE configurations.[[cfg]].status='Applied'",
  `SELECT deviceId FROM devices.modules WHERE moduleId = '$edgeAgent'
    AND properties.desired.$version = properties.reported.lastDesiredVersion`,
  'SELECT TOP 3 deviceId FROM devices',
  'SELECT COUNT() AS n, AVG(properties.reported.t) AS t FROM devices',
];

const refusal = (text: string): string => {
  try {
    parseQuery(text);
  } catch (error) {
    assert.ok(error instanceof HubError && error.code === 'ArgumentInvalid', String(error));
    return error.message;
  }
  return assert.fail(`${text} is accepted`);
};

test('the queries that shipped tools send are read', () => {
  for (const text of sent) assert.ok(parseQuery(text), text);
  const query = parseQuery(sent[9]);
  assert.deepEqual(query.groupBy[0].segments, ['properties', 'desired', 'KeyQuery3f2a-11']);
  assert.equal(parseQuery('SELECT TOP 3 * FROM Devices').top, 3);
});

test('what a query cannot be is refused with its place', () => {
  assert.match(refusal('DELETE FROM devices'), /column 1, near 'DELETE FROM devices': a query begins with SELECT/);
  assert.match(refusal('SELECT *'), /FROM is expected here/);
  assert.match(refusal('SELECT * FROM enrollments'), /no such collection, only devices, devices.modules, devices.jobs/);
  assert.match(refusal('SELECT * FROM devices ORDER BY deviceId'), /no ORDER BY/);
  assert.match(refusal('SELECT * FROM devices WHERE'), /it ends too early/);
  assert.match(refusal('SELECT * FROM devices;'), /no meaning here/);
  assert.match(refusal('SELECT TOP x * FROM devices'), /behind TOP stands a whole number/);
  assert.match(refusal('SELECT deviceId, COUNT() FROM devices'), /beside an aggregate stands only what GROUP BY names/);
  assert.match(refusal('SELECT * FROM devices GROUP BY status'), /names what it selects/);
  assert.match(refusal('SELECT SUM(1) FROM devices'), /a name or a value is expected/);
  assert.match(refusal("SELECT 'a' + 1 FROM devices"), /takes a number/);
});

test('what groups and aggregates cost is counted, as all other parts', () => {
  const many = (part: string, count: number): string => Array(count).fill(part).join(',');
  assert.match(refusal(`SELECT ${many('z', 250)} FROM devices GROUP BY ${many('a', 3700)},z`), /more than 256 parts/);
  assert.match(refusal(`SELECT ${many('COUNT()', 900)} FROM devices GROUP BY tags.a`), /more than 256 parts/);
  assert.ok(parseQuery(`SELECT ${many('COUNT()', 128)} FROM devices GROUP BY ${many('a', 128)}`));
});

const found = (segments: readonly string[], from: Collection) => {
  const { field, below } = fieldOf(segments, from) ?? assert.fail('it is a field');
  return { field, below };
};

test('names of the hub are found in any case, and under the name of the collection', () => {
  assert.deepEqual(found(['DEVICEID'], 'devices'), { field: 'deviceId', below: [] });
  assert.deepEqual(found(['devices', 'deviceId'], 'devices.modules'), { field: 'deviceId', below: [] });
  assert.deepEqual(found(['devices', 'modules', 'moduleid'], 'devices.modules'), { field: 'moduleId', below: [] });
  const reported = { field: 'properties', below: ['reported', 'Battery'] };
  assert.deepEqual(found(['Properties', 'Reported', 'Battery'], 'devices'), reported);
  assert.deepEqual(found(['devices', 'tags', 'Site'], 'devices'), { field: 'tags', below: ['Site'] });
  assert.equal(fieldOf(['nothing'], 'devices'), undefined);
  assert.equal(answerName(['DeviceId'], 'devices'), 'deviceId');
  assert.equal(answerName(['tags', 'Site'], 'devices'), 'Site');
  assert.equal(answerName(['unknown', 'Thing'], 'devices'), 'Thing');
});
