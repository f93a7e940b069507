/** Queries of the fleet over REST, as the service SDKs and tools ask for them (query reference 0 and 1). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits } from '../../src/base/limits.ts';
import { openHttpHub, refusalIn } from '../drivers/http.ts';

const version = 'api-version=2021-04-12';
type Http = Awaited<ReturnType<typeof openHttpHub>>;

async function withFleet(): Promise<Http> {
  const http = await openHttpHub();
  const client = http.client();
  for (const id of ['d1', 'd2', 'd3']) await client.devices.create(id);
  await client.devices.create('edge', { capabilities: { iotEdge: true } });
  await client.modules.create('d1', 'm1');
  await client.twins.update({ deviceId: 'd1' }, { tags: { site: 'n' }, properties: { desired: { t: 1 } } });
  await client.twins.update({ deviceId: 'd2' }, { tags: { site: 's', group: 2 } });
  await client.twins.update({ deviceId: 'd1', moduleId: 'm1' }, { tags: { m: true } });
  return http;
}

async function ask(http: Http, query: unknown, headers: Readonly<Record<string, string>> = {}) {
  const answer = await http.request('POST', `/devices/query?${version}`, { body: { query }, headers });
  return { status: answer.status, headers: answer.headers, json: JSON.parse(answer.body), answer };
}

test('SELECT * answers twins as they are read one by one, with their item type', async () => {
  await using http = await withFleet();
  const { status, headers, json } = await ask(http, 'SELECT * FROM devices');
  assert.equal(status, 200);
  assert.equal(headers['x-ms-item-type'], 'Twin');
  assert.equal(headers['content-type'], 'application/json; charset=utf-8');
  assert.equal('x-ms-continuation' in headers, false, 'at the end there is no such header');
  assert.deepEqual(
    json.map(({ deviceId }: { deviceId: string }) => deviceId),
    ['d1', 'd2', 'd3', 'edge'],
  );
  for (const twin of json) {
    const one = await http.request('GET', `/twins/${twin.deviceId}?${version}`);
    assert.deepEqual(twin, JSON.parse(one.body));
  }
  const modules = await ask(http, "select * from devices.modules where devices.deviceId='d1'");
  assert.equal(modules.headers['x-ms-item-type'], 'Twin');
  const module = await http.request('GET', `/twins/d1/modules/m1?${version}`);
  assert.deepEqual(modules.json, [JSON.parse(module.body)]);
});

test('projections are named by their last part, aggregates by their alias', async () => {
  await using http = await withFleet();
  const rows = async (query: string): Promise<unknown> => {
    const { headers, json } = await ask(http, query);
    assert.equal(headers['x-ms-item-type'], 'Raw', query);
    return json;
  };
  assert.deepEqual(await rows("SELECT DeviceId, tags.site, tags.none FROM devices WHERE tags.site IN ['n', 's']"), [
    { deviceId: 'd1', site: 'n' },
    { deviceId: 'd2', site: 's' },
  ]);
  assert.deepEqual(await rows('SELECT COUNT() AS n FROM devices'), [{ n: 4 }]);
  assert.deepEqual(await rows("SELECT COUNT() AS n FROM devices WHERE tags.site = 'none'"), [{ n: 0 }]);
  assert.deepEqual(await rows('select deviceId from devices where capabilities.iotEdge = true'), [
    { deviceId: 'edge' },
  ]);
  assert.deepEqual(await rows('SELECT deviceId FROM devices WHERE tags.[[group]] = 2'), [{ deviceId: 'd2' }]);
  const groups = await rows('select tags.site AS site, COUNT() AS numberOfDevices from devices group by tags.site');
  assert.deepEqual(groups, [
    { numberOfDevices: 2 },
    { site: 'n', numberOfDevices: 1 },
    { site: 's', numberOfDevices: 1 },
  ]);
  const explorer = `
    SELECT deviceId as DeviceId, status as Status, lastActivityTime as LastActivityTime,
      statusUpdatedTime as StatusUpdatedTime, authenticationType as AuthenticationType,
      cloudToDeviceMessageCount as CloudToDeviceMessageCount, connectionState as ConnectionState,
      capabilities.iotEdge as IotEdge, modelId as ModelId
    FROM devices WHERE STARTSWITH(devices.deviceId, 'd1')`;
  const never = '0001-01-01T00:00:00Z';
  assert.deepEqual(await rows(explorer), [
    {
      ...{ DeviceId: 'd1', Status: 'enabled', LastActivityTime: never, StatusUpdatedTime: never, ModelId: '' },
      ...{ AuthenticationType: 'sas', CloudToDeviceMessageCount: 0, ConnectionState: 'Disconnected', IotEdge: false },
    },
  ]);
});

test('the children of an edge device are found by its scope', async () => {
  await using http = await withFleet();
  const client = http.client();
  const { deviceScope } = await client.devices.get('edge');
  await client.devices.create('leaf', { deviceScope });
  const { json } = await ask(http, `select deviceId from devices where array_contains(parentScopes, '${deviceScope}')`);
  const leaf = (await client.twins.get({ deviceId: 'leaf' })).parentScopes ?? [];
  assert.deepEqual(json, leaf.length > 0 ? [{ deviceId: 'leaf' }] : []);
  const scoped = await ask(http, `select deviceId from devices where deviceScope = '${deviceScope}'`);
  assert.deepEqual(scoped.json, [{ deviceId: 'edge' }, { deviceId: 'leaf' }]);
});

test('pages go on by a token of the same query, which is gone at the end', async () => {
  await using http = await withFleet();
  const query = 'SELECT deviceId FROM devices';
  const seen: string[] = [];
  let token: string | undefined;
  for (let pages = 1; ; pages++) {
    const { headers, json } = await ask(http, query, {
      'x-ms-max-item-count': '1',
      ...(token !== undefined && { 'x-ms-continuation': token }),
    });
    assert.equal(json.length, 1);
    seen.push(json[0].deviceId);
    token = headers['x-ms-continuation'];
    if (token === undefined) {
      assert.equal(pages, 4);
      break;
    }
  }
  assert.deepEqual(seen, ['d1', 'd2', 'd3', 'edge']);
  const first = await ask(http, query, { 'x-ms-max-item-count': '2' });
  const other = await ask(http, 'SELECT * FROM devices', { 'x-ms-continuation': first.headers['x-ms-continuation'] });
  assert.deepEqual([other.status, refusalIn(other.answer).code], [400, 'ArgumentInvalid']);
  for (const broken of ['nonsense', 'bnVsbA', 'W10', 'x'.repeat(9000)]) {
    const { status } = await ask(http, query, { 'x-ms-continuation': broken });
    assert.equal(status, 400, broken.slice(0, 20));
  }
  const [mark] = JSON.parse(Buffer.from(String(first.headers['x-ms-continuation']), 'base64url').toString()) as [
    string,
  ];
  for (const [id, status] of [
    ['d1', 200],
    ['\0', 400],
  ] as const) {
    const made = Buffer.from(JSON.stringify([mark, 1, id, ''])).toString('base64url');
    assert.equal((await ask(http, query, { 'x-ms-continuation': made })).status, status, JSON.stringify(id));
  }
  for (const wish of ['0', '-1', 'many', '100000']) {
    assert.equal((await ask(http, query, { 'x-ms-max-item-count': wish })).json.length, 4, wish);
  }
});

test('what cannot be answered is refused with the reason and the place', async () => {
  await using http = await withFleet();
  const refused = async (query: unknown) => {
    const { status, answer } = await ask(http, query);
    return { status, ...refusalIn(answer), text: JSON.parse(answer.body).Message as string };
  };
  const invalid = await refused('SELECT * FROM devices WHERE tags.site == 1');
  assert.deepEqual([invalid.status, invalid.code], [400, 'ArgumentInvalid']);
  assert.match(
    invalid.text,
    /^ErrorCode:ArgumentInvalid;The query is invalid\. Please check the format .* Line 1, column 40, /,
  );
  assert.equal((await refused(undefined)).code, 'ArgumentNull');
  assert.equal((await refused(null)).code, 'ArgumentNull');
  assert.equal((await refused(5)).code, 'ArgumentInvalid');
  assert.match(
    (await refused(`SELECT * FROM devices${' '.repeat(limits.queryCharsMax)}`)).text,
    /at most 8192 characters/,
  );
});

test('only who may read twins may query, and not under a token that is confined to a device', async () => {
  await using http = await withFleet();
  const as = async (token: string): Promise<number> => {
    const headers = { authorization: token };
    return (await ask(http, 'SELECT * FROM devices', headers)).status;
  };
  assert.equal(await as(await http.token('service')), 200);
  assert.equal(await as(await http.token('registryRead')), 401);
  assert.equal(await as(await http.token('device')), 401);
  assert.equal(await as(await http.token('service', '/devices/d1')), 401);
});

test('?explain says how the rows are found, in place of them', async () => {
  await using http = await withFleet();
  const body = { query: "SELECT * FROM devices WHERE tags.site = 'n'" };
  const answer = await http.request('POST', `/devices/query?${version}&explain`, { body });
  assert.equal(answer.status, 200);
  const { way, looked, read, found, isWhole, wholeTwins, advice, summary } = JSON.parse(answer.body);
  assert.deepEqual(
    { way, looked, read, found, isWhole, wholeTwins },
    {
      ...{ way: { kind: 'scan' }, looked: 4, read: 4, found: 1, isWhole: true, wholeTwins: true },
    },
  );
  assert.match(advice.join(), /--query-indexes tags\.site/);
  assert.match(summary, /4 looked at/);
  const explained = await http.client().queries.explain('SELECT deviceId FROM devices', { countMax: 2 });
  assert.deepEqual([explained.found, explained.isWhole], [2, false]);
  const rows = await http.request('POST', `/devices/query?${version}&explain=false`, { body });
  assert.equal(JSON.parse(rows.body).length, 1);
});
