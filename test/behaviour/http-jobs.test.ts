/** Jobs over REST, as the service SDKs and tools ask for them (query reference 0 and 2). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { JobJson } from '../../src/api/jobs.ts';
import { limits } from '../../src/base/limits.ts';
import { HubError } from '../../src/core/errors.ts';
import type { DevicePrincipal, IdentityKey, Principal } from '../../src/core/identity/types.ts';
import type { MethodCall, MethodResult } from '../../src/core/methods/types.ts';
import { openHttpHub, refusalIn } from '../drivers/http.ts';
import { until } from '../drivers/until.ts';

interface RecordJson {
  readonly deviceId: string;
  readonly moduleId?: string;
  readonly jobId: string;
  readonly jobType: string;
  readonly status: string;
  readonly outcome: unknown;
  readonly error?: { readonly code: string; readonly description: string };
}

const version = 'api-version=2021-04-12';
type Http = Awaited<ReturnType<typeof openHttpHub>>;

async function openFleet(devices = 3): Promise<Http & AsyncDisposable> {
  const http = await openHttpHub();
  for (let at = 1; at <= devices; at++) await http.client().devices.create(`d${at}`);
  http.jobRunner.start();
  const end = http[Symbol.asyncDispose];
  return Object.assign(http, {
    async [Symbol.asyncDispose]() {
      await http.jobRunner.close();
      await end.call(http);
    },
  });
}

async function ask(http: Http, method: string, path: string, body?: unknown, headers: Record<string, string> = {}) {
  const url = `${path}${path.includes('?') ? '&' : '?'}${version}`;
  const answer = await http.request(method, url, { ...(body !== undefined && { body }), headers });
  return { status: answer.status, headers: answer.headers, json: JSON.parse(answer.body), answer };
}

const twinJob = (queryCondition: string, updateTwin: unknown, more = {}) => ({
  ...{ type: 'scheduleUpdateTwin', updateTwin, queryCondition, startTime: null, maxExecutionTimeInSeconds: 3600 },
  ...more,
});
const methodJob = (queryCondition: string, cloudToDeviceMethod: unknown, more = {}) => ({
  ...{ type: 'scheduleDeviceMethod', cloudToDeviceMethod, queryCondition },
  ...more,
});

/** The job, once it has one of the final statuses. */
async function over(http: Http, id: string, statuses = ['completed', 'failed', 'cancelled']) {
  let json = {} as JobJson;
  await until(`job ${id} is over`, async () => {
    ({ json } = await ask(http, 'GET', `/jobs/v2/${id}`));
    return statuses.includes(json.status);
  });
  return json;
}

const records = async (http: Http, where = ''): Promise<readonly RecordJson[]> =>
  (await ask(http, 'POST', '/devices/query', { query: `SELECT * FROM devices.jobs ${where}` })).json;

/** A device that takes methods; `answer` says what becomes of each. */
async function connect(
  http: Http,
  key: IdentityKey,
  answer: (call: MethodCall) => Promise<MethodResult> | MethodResult,
) {
  const principal: DevicePrincipal = {
    ...{ kind: 'device', key, generationId: (await http.client().devices.get(key.deviceId)).generationId },
    ...{ expiresAt: Number.POSITIVE_INFINITY, authScope: 'device', authType: 'sas' },
  };
  const asked: MethodCall[] = [];
  const ticket = await http.hub.admission.claim(principal, {
    ...{ key, generationId: principal.generationId, protocol: 'mqtt', credential: 'sas', peer: '127.0.0.1' },
    drop: () => {},
    async invoke({ value }, signal) {
      asked.push(value as MethodCall);
      const gone = new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
      return Promise.race([answer(value as MethodCall), gone]);
    },
  });
  return { asked, leave: () => ticket.release('by-client') };
}

test('a twin job is queued, runs over the devices of its condition, and leaves a record of each', async () => {
  await using http = await openFleet();
  await http.client().twins.update({ deviceId: 'd3' }, { tags: { site: 's' } });
  const patch = { etag: '*', tags: { building: 43 }, properties: { desired: { t: 1, gone: null }, reported: {} } };
  const created = await ask(http, 'PUT', '/jobs/v2/job-1', {
    jobId: 'job-1',
    ...twinJob("deviceId IN ['d1', 'd3', 'none']", patch),
  });
  assert.equal(created.status, 200);
  assert.equal(created.json.status, 'queued');
  assert.deepEqual(created.json.updateTwin, {
    ...{ deviceId: null, etag: '*', version: null, tags: { building: 43 } },
    properties: { desired: { t: 1, gone: null } },
  });
  const job = await over(http, 'job-1');
  const { createdTime, startTime, endTime, ...rest } = job;
  for (const time of [createdTime, startTime, endTime ?? '']) assert.match(time, /^\d{4}-\d{2}-\d{2}T.*Z$/);
  assert.deepEqual(rest, {
    ...{ jobId: 'job-1', queryCondition: "deviceId IN ['d1', 'd3', 'none']", type: 'scheduleUpdateTwin' },
    ...{ status: 'completed', maxExecutionTimeInSeconds: 3600, updateTwin: created.json.updateTwin },
    deviceJobStatistics: {
      ...{ deviceCount: 2, failedCount: 0, succeededCount: 2, runningCount: 0, pendingCount: 0 },
      ...{ cancelledCount: 0, unknownCount: 0 },
    },
  });
  const twin = async (deviceId: string) => http.client().twins.get({ deviceId });
  assert.deepEqual((await twin('d3')).tags, { site: 's', building: 43 });
  assert.equal((await twin('d1')).properties.desired.t, 1);
  assert.deepEqual((await twin('d2')).tags, {});

  const { headers, json } = await ask(http, 'POST', '/devices/query', { query: 'SELECT * FROM devices.jobs' });
  assert.equal(headers['x-ms-item-type'], 'DeviceJob');
  assert.deepEqual(
    json.map((record: RecordJson) => [record.deviceId, record.jobId, record.jobType, record.status, record.outcome]),
    ['d1', 'd3'].map((id) => [id, 'job-1', 'scheduleUpdateTwin', 'completed', { deviceMethodResponse: null }]),
  );
  // One SDK refuses an object that has names of both kinds of job.
  for (const name of ['type', 'createdTime', 'startTime', 'endTime']) assert.equal(name in json[0], false, name);
  for (const name of ['jobType', 'createdDateTimeUtc', 'startTimeUtc', 'endTimeUtc']) assert.equal(name in job, false);
  assert.deepEqual(Object.keys(json[0]).sort(), [
    ...['createdDateTimeUtc', 'deviceId', 'endTimeUtc', 'jobId', 'jobType', 'lastUpdatedDateTimeUtc', 'outcome'],
    ...['startTimeUtc', 'status'],
  ]);
});

test('modules are reached by FROM devices.modules, and * is every device', async () => {
  await using http = await openFleet();
  await http.client().modules.create('d2', 'm1');
  await http.client().modules.create('d2', 'm2');
  await ask(
    http,
    'PUT',
    '/jobs/v2/of-modules',
    twinJob("FROM devices.modules WHERE moduleId = 'm2'", { tags: { m: 1 } }),
  );
  await ask(http, 'PUT', '/jobs/v2/of-all', twinJob('*', { tags: { all: true } }));
  assert.equal((await over(http, 'of-modules')).deviceJobStatistics.succeededCount, 1);
  assert.equal((await over(http, 'of-all')).deviceJobStatistics.succeededCount, 3);
  assert.deepEqual((await http.client().twins.get({ deviceId: 'd2', moduleId: 'm2' })).tags, { m: 1 });
  assert.deepEqual((await http.client().twins.get({ deviceId: 'd2', moduleId: 'm1' })).tags, {});
  assert.deepEqual((await http.client().twins.get({ deviceId: 'd2' })).tags, { all: true });
  const found = await records(http, "WHERE devices.jobs.jobId = 'of-modules'");
  assert.deepEqual(
    found.map(({ deviceId, moduleId }: RecordJson) => [deviceId, moduleId]),
    [['d2', 'm2']],
  );
});

test('what a twin does not take fails for that device alone', async () => {
  await using http = await openFleet(2);
  const full = 'x'.repeat(4000);
  await http.client().twins.update({ deviceId: 'd2' }, { tags: { a: full, b: full } });
  await ask(http, 'PUT', '/jobs/v2/too-much', twinJob('*', { tags: { c: full } }));
  const job = await over(http, 'too-much');
  assert.equal(job.status, 'completed');
  assert.deepEqual([job.deviceJobStatistics.succeededCount, job.deviceJobStatistics.failedCount], [1, 1]);
  const [failed] = await records(http, "WHERE status = 'failed'");
  assert.equal(failed.deviceId, 'd2');
  assert.equal(failed.error?.code, '400004');
  assert.match(failed.error?.description ?? '', /tags has at most/);
});

test('a method is invoked once per device; one that is not connected gets it when it connects', async () => {
  await using http = await openFleet(3);
  const d1 = await connect(http, { deviceId: 'd1' }, () => ({ status: 200, payload: '{"ok":1.50}' }));
  const d2 = await connect(http, { deviceId: 'd2' }, () => {
    throw new HubError('DeviceConnectionClosedRemotely');
  });
  const body = methodJob('*', { methodName: 'reboot', payload: { when: 'now' }, responseTimeoutInSeconds: 10 });
  const created = await ask(http, 'PUT', '/jobs/v2/methods', body);
  assert.deepEqual(created.json.cloudToDeviceMethod, {
    ...(body.cloudToDeviceMethod as object),
    connectTimeoutInSeconds: 0,
  });
  await until('two are over', async () => {
    const { deviceJobStatistics } = (await ask(http, 'GET', '/jobs/v2/methods')).json;
    return deviceJobStatistics.succeededCount + deviceJobStatistics.failedCount === 2;
  });
  const running = (await ask(http, 'GET', '/jobs/v2/methods')).json;
  assert.equal(running.status, 'running');
  assert.equal(running.deviceJobStatistics.pendingCount, 1);
  const d3 = await connect(http, { deviceId: 'd3' }, () => ({ status: 404, payload: 'null' }));
  const job = await over(http, 'methods');
  assert.equal(job.status, 'completed');
  for (const { asked } of [d1, d2, d3]) {
    assert.deepEqual(
      asked.map(({ name, payload }) => [name, payload]),
      [['reboot', '{"when":"now"}']],
    );
  }
  const found = await records(http, "WHERE jobId = 'methods'");
  assert.deepEqual(
    found.map((record: RecordJson) => [record.deviceId, record.status, record.outcome, record.error?.code]),
    [
      ['d1', 'completed', { deviceMethodResponse: { status: 200, payload: { ok: 1.5 } } }, undefined],
      ['d2', 'failed', { deviceMethodResponse: null }, '404104'],
      ['d3', 'completed', { deviceMethodResponse: { status: 404, payload: null } }, undefined],
    ],
  );
});

test('when the time of a job is over, devices that never connected have failed as not online', async () => {
  await using http = await openFleet(2);
  await ask(http, 'PUT', '/jobs/v2/short', methodJob('*', { methodName: 'm' }, { maxExecutionTimeInSeconds: 1 }));
  const job = await over(http, 'short');
  assert.equal(job.status, 'completed');
  assert.equal(job.deviceJobStatistics.failedCount, 2);
  for (const { status, error } of await records(http)) assert.deepEqual([status, error?.code], ['failed', '404103']);
});

test('a job that begins later is scheduled, and can be cancelled; one that runs begins nobody more', async () => {
  await using http = await openFleet(3);
  const startTime = new Date(Date.now() + 3_600_000).toISOString();
  const later = await ask(http, 'PUT', '/jobs/v2/later', twinJob('*', { tags: { never: 1 } }, { startTime }));
  assert.equal(later.json.status, 'queued', 'an SDK asserts it of the answer');
  assert.equal(later.json.startTime, startTime);
  assert.equal((await ask(http, 'GET', '/jobs/v2/later')).json.status, 'scheduled');
  const cancelled = await ask(http, 'POST', '/jobs/v2/later/cancel');
  assert.deepEqual([cancelled.status, cancelled.json.status], [200, 'cancelled']);
  const again = await ask(http, 'POST', '/jobs/v2/later/cancel');
  assert.deepEqual([again.status, refusalIn(again.answer).code], [412, 'JobRunPreconditionFailed']);

  const d1 = await connect(http, { deviceId: 'd1' }, () => new Promise<MethodResult>(() => {}));
  await ask(http, 'PUT', '/jobs/v2/runs', methodJob('*', { methodName: 'm' }));
  await until('a device is asked', () => d1.asked.length === 1);
  const { json } = await ask(http, 'POST', '/jobs/v2/runs/cancel', '');
  assert.equal(json.status, 'cancelled');
  const d2 = await connect(http, { deviceId: 'd2' }, () => ({ status: 200, payload: '1' }));
  await until('its records have ended', async () => {
    const { deviceJobStatistics } = (await ask(http, 'GET', '/jobs/v2/runs')).json;
    return deviceJobStatistics.cancelledCount === 2 && deviceJobStatistics.failedCount === 1;
  });
  assert.equal(d2.asked.length, 0);
  assert.deepEqual(
    (await records(http, "WHERE jobId = 'runs'")).map((record: RecordJson) => [
      record.deviceId,
      record.status,
      record.error?.code,
    ]),
    [
      ['d1', 'failed', '504101'],
      ['d2', 'canceled', '412003'],
      ['d3', 'canceled', '412003'],
    ],
  );
  assert.deepEqual((await http.client().twins.get({ deviceId: 'd1' })).tags, {});
});

test('lists are filtered by type and status in any case, and paged', async () => {
  await using http = await openFleet(1);
  for (let at = 0; at < 3; at++) {
    await ask(http, 'PUT', `/jobs/v2/t${at}`, twinJob('*', { tags: { a: at } }));
    await over(http, `t${at}`);
    await delay(2);
  }
  const startTime = new Date(Date.now() + 60_000).toISOString();
  await ask(http, 'PUT', '/jobs/v2/m0', methodJob('*', { methodName: 'm' }, { startTime }));
  const ids = async (query: string, headers = {}) => {
    const answer = await ask(http, 'GET', `/jobs/v2/query${query}`, undefined, headers);
    assert.equal(answer.headers['x-ms-item-type'], 'JobResponse');
    return { ids: answer.json.map(({ jobId }: JobJson) => jobId), next: answer.headers['x-ms-continuation'] };
  };
  assert.deepEqual(await ids(''), { ids: ['m0', 't2', 't1', 't0'], next: undefined });
  assert.deepEqual((await ids('?jobType=ScheduleUpdateTwin')).ids, ['t2', 't1', 't0']);
  assert.deepEqual((await ids('?jobType=scheduleDeviceMethod&jobStatus=Scheduled')).ids, ['m0']);
  assert.deepEqual((await ids('?jobStatus=queued')).ids, []);
  const first = await ids('?jobStatus=completed', { 'x-ms-max-item-count': '2' });
  assert.deepEqual(first.ids, ['t2', 't1']);
  assert.ok(first.next);
  const rest = await ids('?jobStatus=completed', { 'x-ms-max-item-count': '2', 'x-ms-continuation': first.next });
  assert.deepEqual(rest, { ids: ['t0'], next: undefined });
  const forged = Buffer.from(JSON.stringify([1, '\u0000'])).toString('base64url');
  const strange = await ask(http, 'GET', '/jobs/v2/query', undefined, { 'x-ms-continuation': forged });
  assert.deepEqual([strange.status, refusalIn(strange.answer).code], [400, 'ArgumentInvalid']);
  const wrong = await ask(http, 'GET', '/jobs/v2/query?jobType=import');
  assert.deepEqual([wrong.status, refusalIn(wrong.answer).code], [400, 'ArgumentInvalid']);
});

test('what is no job is refused by its form, with the place of a fault in the condition', async () => {
  await using http = await openFleet(1);
  const refused = async (path: string, body: unknown, method = 'PUT') => {
    const { status, answer } = await ask(http, method, path, body);
    return [status, refusalIn(answer).code];
  };
  const good = twinJob('*', { tags: { a: 1 } });
  const invalid: readonly unknown[] = [400, 'ArgumentInvalid'];
  assert.deepEqual(await refused('/jobs/v2/no', undefined, 'GET'), [404, 'JobNotFound']);
  assert.deepEqual(await refused('/jobs/v2/no/cancel', undefined, 'POST'), [404, 'JobNotFound']);
  assert.deepEqual(await refused(`/jobs/v2/${'x'.repeat(65)}`, good), invalid);
  assert.deepEqual(await refused('/jobs/v2/query', good), invalid);
  assert.deepEqual(await refused('/jobs/v2/a', { ...good, jobId: 'b' }), invalid);
  assert.deepEqual(await refused('/jobs/v2/a', { ...good, type: 'import' }), invalid);
  assert.deepEqual(await refused('/jobs/v2/a', { ...good, updateTwin: undefined }), [400, 'ArgumentNull']);
  assert.deepEqual(await refused('/jobs/v2/a', { ...good, queryCondition: null }), [400, 'ArgumentNull']);
  assert.deepEqual(await refused('/jobs/v2/a', { ...good, updateTwin: { etag: 'AAAAAAAAAAE=', tags: {} } }), invalid);
  assert.deepEqual(await refused('/jobs/v2/a', { ...good, maxExecutionTimeInSeconds: 0 }), invalid);
  assert.deepEqual(await refused('/jobs/v2/a', { ...good, startTime: 'soon' }), invalid);
  assert.deepEqual(await refused('/jobs/v2/a', methodJob('*', { methodName: 'a/b' })), invalid);
  assert.deepEqual(await refused('/jobs/v2/a', methodJob('*', undefined)), [400, 'ArgumentNull']);
  assert.deepEqual(await refused('/jobs/v2/a', twinJob('FROM devices.jobs', { tags: {} })), invalid);
  assert.deepEqual(await refused('/jobs/v2/a', twinJob('tags.a = 1 GROUP BY tags.a', { tags: {} })), invalid);
  const names = Array.from({ length: 400 }, (_, at) => [`n${at}`, 'x'.repeat(700)]);
  const long = twinJob('*', { tags: Object.fromEntries(names) });
  assert.deepEqual(await refused('/jobs/v2/a', long), [413, 'MessageTooLarge']);
  const fault = await ask(http, 'PUT', '/jobs/v2/a', twinJob('deviceId = ', { tags: {} }));
  assert.match(fault.json.Message, /Line 1, column 12/);
  assert.equal((await ask(http, 'PUT', '/jobs/v2/a', good)).status, 200);
  assert.deepEqual(await refused('/jobs/v2/a', good), [409, 'JobAlreadyExists']);
});

test('an import or export is known here, and says that another address tells of it', async () => {
  await using http = await openFleet(1);
  const { json } = await ask(http, 'POST', '/mooring/v1/registry/areas', { expiresInSeconds: 600 });
  const body = { type: 'export', outputBlobContainerUri: json.containerUri, excludeKeysInExport: true };
  const created = await ask(http, 'POST', '/jobs/create', body);
  assert.equal(created.status, 200, created.answer.body);
  const { status, json: shown } = await ask(http, 'GET', `/jobs/v2/${created.json.jobId}`);
  assert.deepEqual([status, shown.jobId, shown.status, shown.type], [200, created.json.jobId, 'unknown', 'export']);
  const service = { authorization: await http.token('service') };
  const hidden = await ask(http, 'GET', `/jobs/v2/${created.json.jobId}`, undefined, service);
  assert.equal(hidden.status, 404, 'whoever may not see imports and exports learns nothing of them here');
});

test('jobs that have not ended are bounded', async () => {
  await using http = await openFleet(1);
  const startTime = Date.now() + 3_600_000;
  const owner: Principal = {
    kind: 'policy',
    policyName: 'iothubowner',
    permissions: new Set(['ServiceConnect']),
    scope: [],
    expiresAt: Number.POSITIVE_INFINITY,
  };
  const work = { kind: 'scheduleUpdateTwin', change: { kind: 'merge', tags: { a: 1 } } } as const;
  for (let at = 0; at < limits.jobsOpenMax; at++) {
    await http.hub.jobs.create(owner, { id: `j${at}`, condition: '*', work, startTime });
  }
  const create = () => ask(http, 'PUT', '/jobs/v2/one-more', twinJob('*', { tags: { a: 1 } }));
  const { status, answer } = await create();
  assert.deepEqual([status, refusalIn(answer).code], [429, 'ThrottlingMaxActiveJobCountExceeded']);
  assert.match(answer.body, /jobsOpenMax of hub: 1000 of 1000/);
  await ask(http, 'POST', '/jobs/v2/j0/cancel');
  assert.equal((await create()).status, 200);
});
