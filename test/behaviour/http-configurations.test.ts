/** Configurations over REST, as the service SDKs and tools ask for them (query reference 4). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits } from '../../src/base/limits.ts';
import { openHttpHub, refusalIn } from '../drivers/http.ts';

const version = 'api-version=2021-04-12';
type Http = Awaited<ReturnType<typeof openHttpHub>>;

async function ask(http: Http, method: string, path: string, body?: unknown, ifMatch?: string) {
  const answer = await http.request(method, `${path}${path.includes('?') ? '&' : '?'}${version}`, {
    ...(body !== undefined && { body }),
    ...(ifMatch !== undefined && { headers: { 'if-match': ifMatch } }),
  });
  return {
    status: answer.status,
    headers: answer.headers,
    answer,
    json: answer.body === '' ? undefined : JSON.parse(answer.body),
  };
}

/** Code and number of a refusal. */
async function refused(http: Http, ...args: Parameters<typeof ask> extends [Http, ...infer Rest] ? Rest : never) {
  const { status, answer } = await ask(http, ...args);
  return [status, refusalIn(answer).code];
}

const content = { deviceContent: { 'properties.desired.chiller-water': { temperature: 66, pressure: 28 } } };
/** As the npm SDK sends one that it has made. */
const sent = {
  id: 'chiller',
  schemaVersion: '1.0',
  labels: { App: 'Mongo' },
  content,
  targetCondition: "tags.environment = 'test'",
  priority: 10,
  systemMetrics: { results: {}, queries: {} },
  metrics: { queries: { waiting: "SELECT deviceId FROM devices WHERE properties.reported.chiller.status='pending'" } },
  etag: '',
};

test('a configuration is created, read, changed and deleted by its ETag', async () => {
  await using http = await openHttpHub();
  const created = await ask(http, 'PUT', '/configurations/chiller', sent);
  assert.equal(created.status, 200);
  const { createdTimeUtc, lastUpdatedTimeUtc, etag, ...rest } = created.json;
  assert.equal(created.headers.etag, `"${etag}"`);
  assert.match(createdTimeUtc, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  assert.equal(lastUpdatedTimeUtc, createdTimeUtc);
  assert.deepEqual(rest, {
    ...{ id: 'chiller', schemaVersion: '1.0', labels: { App: 'Mongo' }, content, priority: 10 },
    targetCondition: "tags.environment = 'test'",
    systemMetrics: {
      results: { targetedCount: 0, appliedCount: 0 },
      queries: {
        targetedCount: "select deviceId from devices where (tags.environment = 'test')",
        appliedCount: "select deviceId from devices where configurations.[[chiller]].status = 'Applied'",
      },
    },
    metrics: { results: { waiting: 0 }, queries: sent.metrics.queries },
    evaluated: false,
  });
  assert.deepEqual(await refused(http, 'PUT', '/configurations/chiller', sent), [409, 'ConfigurationAlreadyExists']);
  const read = await ask(http, 'GET', '/configurations/chiller');
  assert.equal(read.json.etag, etag);

  // C# and Java send back all that they have read.
  const changed = await ask(http, 'PUT', '/configurations/chiller', { ...read.json, priority: 3 }, `"${etag}"`);
  assert.deepEqual([changed.status, changed.json.priority, changed.json.createdTimeUtc], [200, 3, createdTimeUtc]);
  assert.notEqual(changed.json.etag, etag);
  const stale = await refused(http, 'PUT', '/configurations/chiller', sent, `"${etag}"`);
  assert.deepEqual(stale, [412, 'PreconditionFailed']);
  const other = { ...sent, content: { deviceContent: { 'properties.desired.a': 1 } } };
  const immutable = await refused(http, 'PUT', '/configurations/chiller', other, '"*"');
  assert.deepEqual(immutable, [400, 'CannotModifyImmutableConfigurationContent']);
  const without = await ask(http, 'PUT', '/configurations/chiller', { ...sent, content: null }, '*');
  assert.deepEqual(without.json.content, content, 'null in its place is that of the configuration');

  await ask(http, 'PUT', '/configurations/another', { id: 'another', targetCondition: '' });
  for (const [path, ids] of [
    ['/configurations', ['another', 'chiller']],
    ['/configurations/?top=500', ['another', 'chiller']],
    ['/configurations?top=1', ['another']],
    ['/configurations?top=0', ['another', 'chiller']],
    ['/configurations?top=many', ['another', 'chiller']],
  ] as const) {
    const { status, json } = await ask(http, 'GET', path);
    assert.deepEqual([status, json.map(({ id }: { id: string }) => id)], [200, ids], path);
  }
  assert.deepEqual(await refused(http, 'DELETE', '/configurations/chiller', undefined, `"${etag}"`), [
    412,
    'PreconditionFailed',
  ]);
  const deleted = await ask(http, 'DELETE', '/configurations/chiller');
  assert.equal(deleted.status, 204, 'npm deletes without If-Match');
  for (const method of ['GET', 'DELETE']) {
    assert.deepEqual(await refused(http, method, '/configurations/chiller'), [404, 'ConfigurationNotFound']);
  }
  assert.deepEqual(await refused(http, 'PUT', '/configurations/chiller', sent, '*'), [404, 'ConfigurationNotFound']);
});

const modulesOf = (count: number): object =>
  Object.fromEntries(Array.from({ length: count }, (_, at) => [`m${at}`, {}]));

test('what a configuration may not be is refused with its own code', async () => {
  await using http = await openHttpHub();
  const put = (change: object, id = 'c') => refused(http, 'PUT', `/configurations/${id}`, { ...sent, id, ...change });
  const target = 'InvalidConfigurationTargetCondition';
  for (const targetCondition of [
    'tags.a =',
    'properties.desired.a = 1',
    'properties.a = 1',
    "connectionState = 'Connected'",
    "configurations.[[c]].status = 'Applied'",
    "FROM devices.modules WHERE moduleId = 'm'",
    'FROM devices.jobs WHERE a = 1',
    // Alone it is short enough, and in the query that the hub shows it is not.
    `deviceId = '${'x'.repeat(limits.queryCharsMax - 20)}'`,
  ]) {
    assert.deepEqual(await put({ targetCondition }), [400, target], targetCondition);
  }
  assert.deepEqual(await put({ content: { moduleContent: {} }, targetCondition: '*' }), [400, target]);
  const metric = 'InvalidConfigurationCustomMetricsQuery';
  for (const query of [
    'SELECT',
    'SELECT COUNT() FROM devices',
    'SELECT TOP 1 * FROM devices',
    'SELECT * FROM devices.jobs',
    'SELECT * FROM devices WHERE lastActivityTime > "2020"',
  ]) {
    assert.deepEqual(await put({ metrics: { queries: { m: query } } }), [400, metric], query);
  }
  const six = Object.fromEntries(['a', 'b', 'c', 'd', 'e', 'f'].map((name) => [name, 'SELECT * FROM devices']));
  assert.deepEqual(await put({ metrics: { queries: six } }), [400, metric]);
  const wrong = 'InvalidConfigurationContent';
  for (const broken of [
    { deviceContent: { 'properties.reported.a': 1 } },
    { deviceContent: { 'tags.a': 1 } },
    { deviceContent: { 'properties.desired': 1 } },
    { deviceContent: { 'properties.desired.a b': 1 } },
    { deviceContent: { 'properties.desired.a..b': 1 } },
    { deviceContent: { 'properties.desired.a': { b: [null] } } },
    { deviceContent: { 'properties.desired.a': 'x'.repeat(5000) } },
    { deviceContent: {}, moduleContent: {} },
    { modulesContent: { 'a b': {} } },
    { modulesContent: { m: 1 } },
    { modulesContent: modulesOf(51) },
    // Modules that the agent is to run are made by those names.
    { modulesContent: { $edgeAgent: { 'properties.desired': { modules: { 'a/b': {} } } } } },
    { modulesContent: { $edgeAgent: { 'properties.desired.modules.ä': {} } } },
    { modulesContent: { $edgeAgent: { 'properties.desired.modules': { ['x'.repeat(129)]: {} } } } },
    { modulesContent: { $edgeAgent: { 'properties.desired': { modules: modulesOf(50) } } } },
    { deviceContent: { 'properties.desired.$version': 4 } },
    { deviceContent: { 'properties.desired.$metadata.a': 4 } },
    { devicesContent: { 'properties.desired.a': 1 } },
    { 'properties.desired.a': 1 },
  ]) {
    assert.deepEqual(await put({ content: broken }), [400, wrong], JSON.stringify(broken).slice(0, 80));
    const applied = await refused(http, 'POST', '/devices/d/applyConfigurationContent', broken);
    assert.deepEqual(applied, [400, wrong], JSON.stringify(broken).slice(0, 80));
  }
  for (const id of ['Upper', 'a b', 'x'.repeat(129)]) {
    assert.deepEqual(await put({}, encodeURIComponent(id)).then(([status]) => status), 400, id);
  }
  assert.deepEqual(await put({ id: 'other' }), [400, 'ArgumentInvalid']);
  assert.deepEqual(await put({ priority: -1 }), [400, 'ArgumentInvalid']);
  assert.deepEqual(await put({ priority: 2 ** 31 }), [400, 'ArgumentInvalid']);
  assert.deepEqual(await put({ schemaVersion: 'x'.repeat(257) }), [400, 'ArgumentInvalid']);
  assert.deepEqual((await ask(http, 'GET', '/configurations')).json, [], 'nothing of it is kept');
});

test('a hub has so many configurations, and not one more', async () => {
  await using http = await openHttpHub();
  for (let at = 0; at < limits.configurationsMax; at++) {
    const { status } = await ask(http, 'PUT', `/configurations/c${at}`, { id: `c${at}`, targetCondition: '' });
    assert.equal(status, 200);
  }
  assert.deepEqual(await refused(http, 'PUT', '/configurations/more', { id: 'more' }), [403, 'IotHubQuotaExceeded']);
  await ask(http, 'DELETE', '/configurations/c0');
  assert.equal((await ask(http, 'PUT', '/configurations/more', { id: 'more' })).status, 200);
});

test('testQueries says what is wrong with each, and with nothing else', async () => {
  await using http = await openHttpHub();
  const good = await ask(http, 'POST', '/configurations/testQueries', {
    targetCondition: "deviceId = 'a'",
    customMetricQueries: { m: 'SELECT deviceId FROM devices' },
  });
  assert.deepEqual([good.status, good.json], [200, { targetConditionError: null, customMetricQueryErrors: {} }]);
  const { json } = await ask(http, 'POST', '/configurations/testQueries', {
    targetCondition: 'tags.a = ',
    customMetricQueries: { good: 'SELECT * FROM devices', bad: 'SELECT FROM' },
  });
  assert.match(json.targetConditionError, /Line 1, column/);
  assert.deepEqual(Object.keys(json.customMetricQueryErrors), ['bad']);
  const nothing = await ask(http, 'POST', '/configurations/testQueries', {});
  assert.deepEqual(nothing.json, { targetConditionError: null, customMetricQueryErrors: {} });
});
