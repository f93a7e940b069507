/**
 * The requests of `az iot hub` and `az iot edge` (extension azure-iot), restated: the extension is in no package registry. In its
 * headers and its order: each command of the tool is one test step.
 */
import assert from 'node:assert/strict';
import https from 'node:https';
import { test } from 'node:test';
import { ownerToken } from '../../bench/servers/hub.ts';
import { apiOf } from '../drivers/api.ts';
import { startHub, type TestHub } from '../drivers/hub.ts';
import { until } from '../drivers/until.ts';

const version = 'api-version=2021-04-12';
const EDGE = 'ms-azure-iot-edge://';

/** What the tool sends beside its body. */
const headers = {
  accept: 'application/json',
  'content-type': 'application/json; charset=utf-8',
  'cache-control': 'no-cache, must-revalidate',
  'user-agent': 'AzureCLI/2.61.0 azure-iot/0.25.0',
};

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: string;
}

function send(
  { endpoints, ca }: TestHub,
  method: string,
  path: string,
  headers: Readonly<Record<string, string>>,
  body: unknown,
): Promise<Answer> {
  const text = body === undefined ? '' : JSON.stringify(body);
  const all = { ...headers, authorization: ownerToken(endpoints), 'content-length': String(Buffer.byteLength(text)) };
  return new Promise((resolve, reject) => {
    const call = https.request(
      { host: 'localhost', port: endpoints.ports.https as number, ca, agent: false, method, path, headers: all },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () => {
          const got = response.headers as Answer['headers'];
          resolve({ status: response.statusCode ?? 0, headers: got, body: Buffer.concat(chunks).toString() });
        });
      },
    );
    call.on('error', reject);
    call.end(text);
  });
}

test('az: identities, queries, twins, configurations and jobs, as the tool asks for them', async () => {
  await using hub = await startHub();
  const api = apiOf(hub);
  for (const id of ['d1', 'd2', 'd3']) await api.devices.create(id);
  await api.devices.create('edge', { capabilities: { iotEdge: true } });
  const ask = async (method: string, path: string, body?: unknown, more: Readonly<Record<string, string>> = {}) => {
    const url = `${path}${path.includes('?') ? '&' : '?'}${version}`;
    const answer = await send(hub, method, url, { ...headers, ...more }, body);
    const json: unknown = answer.body === '' ? undefined : JSON.parse(answer.body);
    return { ...answer, json };
  };
  /** The tool's own loop: until the token is empty or not there, at most `top` rows. */
  const query = async (text: string, top = -1): Promise<readonly Record<string, unknown>[]> => {
    const rows: Record<string, unknown>[] = [];
    let token: string | undefined;
    do {
      const {
        status,
        json,
        headers: got,
      } = await ask(
        'POST',
        '/devices/query',
        { query: text },
        {
          ...(top > 0 && { 'x-ms-max-item-count': String(top - rows.length) }),
          ...(token !== undefined && { 'x-ms-continuation': token }),
        },
      );
      assert.equal(status, 200, text);
      assert.match(got['x-ms-item-type'] ?? '', /^(Twin|Raw|DeviceJob)$/);
      rows.push(...(json as Record<string, unknown>[]));
      token = got['x-ms-continuation'];
    } while (token !== undefined && token !== '' && (top < 0 || rows.length < top));
    return rows;
  };
  const ids = (rows: readonly Record<string, unknown>[]) => rows.map(({ deviceId }) => deviceId);

  // iot hub device-identity list, with --edge-enabled and with --top
  assert.deepEqual(ids(await query('SELECT * FROM devices')), ['d1', 'd2', 'd3', 'edge']);
  assert.deepEqual(ids(await query('select * from devices where capabilities.iotEdge = true')), ['edge']);
  assert.deepEqual(ids(await query('SELECT * FROM devices', 3)), ['d1', 'd2', 'd3']);

  // iot hub device-identity parent set, and children list
  const { deviceScope } = await api.devices.get('edge');
  assert.ok(deviceScope?.startsWith(EDGE));
  const { json: d1 } = await ask('GET', '/devices/d1');
  const child = { ...(d1 as Record<string, unknown>), deviceScope };
  assert.equal((await ask('PUT', '/devices/d1', child, { 'if-match': '"*"' })).status, 200);
  const children = `select deviceId from devices where array_contains(parentScopes, '${deviceScope}')`;
  const { parentScopes = [] } = await api.twins.get({ deviceId: 'd1' });
  assert.deepEqual(ids(await query(children)), parentScopes.includes(deviceScope ?? '') ? ['d1'] : []);

  // iot hub device-twin show and update, and query
  assert.equal((await ask('PATCH', '/twins/d1', { tags: { site: 'n' } }, { 'if-match': '"*"' })).status, 200);
  const twin = (await ask('GET', '/twins/d1')).json as { readonly tags: unknown; readonly version: number };
  assert.deepEqual(twin.tags, { site: 'n' });
  assert.deepEqual(await query("SELECT * FROM devices WHERE tags.site = 'n'"), [twin]);

  // iot hub configuration create (which asks about its queries first), show, list, show-metric, update, delete
  const configuration = {
    ...{ id: 'floor-7', schemaVersion: '1.0', labels: { by: 'az' }, priority: 10 },
    content: { deviceContent: { 'properties.desired.mode': { level: 'low' } } },
    targetCondition: "tags.site = 'n'",
    metrics: { queries: { low: "SELECT deviceId FROM devices WHERE properties.desired.mode.level = 'low'" } },
    ...{ contentType: 'assignment', etag: '*' },
  };
  const tested = await ask('POST', '/configurations/testQueries', {
    targetCondition: configuration.targetCondition,
    customMetricQueries: configuration.metrics.queries,
  });
  assert.equal(tested.status, 200);
  const created = await ask('PUT', '/configurations/floor-7', configuration);
  assert.ok([200, 201].includes(created.status), `${created.status} ${created.body}`);
  const listed = (await ask('GET', '/configurations?top=100')).json as readonly { readonly id: string }[];
  assert.deepEqual(
    listed.map(({ id }) => id),
    ['floor-7'],
  );
  const show = async () =>
    (await ask('GET', '/configurations/floor-7')).json as {
      readonly etag: string;
      readonly systemMetrics: {
        readonly results: Readonly<Record<string, number>>;
        readonly queries: Readonly<Record<string, string>>;
      };
    };
  await until('the configuration is applied', async () => (await show()).systemMetrics.results.appliedCount === 1);
  const { systemMetrics, etag } = await show();
  assert.deepEqual(ids(await query(systemMetrics.queries.appliedCount)), ['d1']);
  assert.deepEqual(ids(await query(configuration.metrics.queries.low)), ['d1']);
  const applied = "select deviceId from devices where configurations.[[floor-7]].status = 'Applied'";
  assert.deepEqual(ids(await query(applied)), ['d1']);
  assert.equal((await ask('DELETE', '/configurations/floor-7', undefined, { 'if-match': `"${etag}"` })).status, 204);

  // iot hub job create, show, list, cancel: an update of twins now, and one that is to begin later
  const job = (jobId: string, startTime: string | null) => ({
    ...{ jobId, type: 'scheduleUpdateTwin', startTime, maxExecutionTimeInSeconds: 3600 },
    ...{ queryCondition: "deviceId IN ['d1', 'd2']", updateTwin: { tags: { job: jobId }, etag: '*' } },
  });
  const begun = await ask('PUT', '/jobs/v2/now', job('now', null));
  assert.equal(begun.status, 200);
  assert.equal((begun.json as { readonly status: string }).status, 'queued');
  const later = await ask('PUT', '/jobs/v2/later', job('later', new Date(Date.now() + 3_600_000).toISOString()));
  assert.equal(later.status, 200);
  const shown = async (id: string) => (await ask('GET', `/jobs/v2/${id}`)).json as { readonly status: string };
  assert.equal((await shown('later')).status, 'scheduled');
  await until('the job is done', async () => (await shown('now')).status === 'completed');
  assert.deepEqual(ids(await query("SELECT * FROM devices WHERE tags.job = 'now'")), ['d1', 'd2']);
  const records = await query("SELECT * FROM devices.jobs WHERE devices.jobs.jobId = 'now'");
  assert.deepEqual(
    records.map(({ status }) => status),
    ['completed', 'completed'],
  );
  const jobs = (await ask('GET', '/jobs/v2/query?jobType=scheduleUpdateTwin&jobStatus=scheduled')).json;
  assert.deepEqual(
    (jobs as readonly { readonly jobId: string }[]).map(({ jobId }) => jobId),
    ['later'],
  );
  assert.equal((await ask('POST', '/jobs/v2/later/cancel')).status, 200);
  assert.equal((await shown('later')).status, 'cancelled');
  // iot hub job list asks for the jobs of import and export as well
  assert.deepEqual((await ask('GET', '/jobs')).json, []);
  api.close();
});
