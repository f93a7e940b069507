/** Import and export of the registry over a running hub: what back ends ask for, what comes out, what is taken. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { apiOf } from '../drivers/api.ts';
import { backEndOf, ownerOf } from '../drivers/back-end.ts';
import { startHub } from '../drivers/hub.ts';
import { endOf, exported, fileOf, imported, putFile } from '../drivers/registry-jobs.ts';

const key = (fill: number): string => Buffer.alloc(32, fill).toString('base64');
const sas = (fill: number) => ({ type: 'sas', symmetricKey: { primaryKey: key(fill), secondaryKey: key(fill + 1) } });

test('an export holds devices, modules, keys and twins; an empty hub that takes it holds the same', async () => {
  await using hub = await startHub();
  const api = apiOf(hub);
  const empty = await exported(api);
  assert.deepEqual([empty.job.status, empty.devices], ['completed', []]);

  const thumbprint = 'AB'.repeat(20);
  const edge = await api.devices.create('edge', { capabilities: { iotEdge: true } });
  await api.devices.create('leaf', { deviceScope: edge.deviceScope, authentication: sas(3) as never });
  await api.devices.create('a', { authentication: sas(1) as never, status: 'disabled', statusReason: 'lost' });
  await api.devices.create('x', {
    authentication: { type: 'selfSigned', x509Thumbprint: { primaryThumbprint: thumbprint } },
  });
  await api.modules.create('a', 'm', { authentication: sas(5) as never, managedBy: 'me' });
  await api.twins.update(
    { deviceId: 'a' },
    { tags: { site: 'n' }, properties: { desired: { rate: 3, deep: { x: [1] } } } },
  );
  await api.twins.update({ deviceId: 'a', moduleId: 'm' }, { properties: { desired: { on: true } } });

  const { job, devices } = await exported(api);
  assert.deepEqual([job.status, job.progress, job.counts.done, job.failureReason], ['completed', 100, 7, undefined]);
  assert.deepEqual(
    devices.map(({ id, moduleId }) => [id, moduleId]),
    [
      ['a', undefined],
      ['a', 'm'],
      ['edge', undefined],
      ['edge', '$edgeAgent'],
      ['edge', '$edgeHub'],
      ['leaf', undefined],
      ['x', undefined],
    ],
  );
  const [a, m] = devices;
  assert.deepEqual(a.authentication.symmetricKey, sas(1).symmetricKey);
  assert.deepEqual(
    [a.status, a.statusReason, a.tags, a.capabilities],
    ['disabled', 'lost', { site: 'n' }, { iotEdge: false }],
  );
  assert.equal(a.properties.desired.rate, 3);
  assert.equal(a.properties.desired.$version, 2);
  assert.match(a.properties.desired.$metadata.$lastUpdated, /^20\d\d-/);
  assert.match(a.twinETag, /^[A-Za-z0-9+/]{11}=$/);
  assert.equal(m.managedBy, 'me');

  await using other = await startHub();
  const there = apiOf(other);
  // Children stand before their parents and modules before their devices.
  const first = await imported(there, [...devices].reverse());
  assert.deepEqual([first.job.status, first.errors], ['completed', []]);
  assert.deepEqual(first.job.counts, { total: 7, done: 7, unchanged: 0, failed: 0 });
  const again = await exported(there);
  assert.deepEqual(again.devices.map(withoutVersions), devices.map(withoutVersions));
  const leaf = await there.devices.get('leaf');
  assert.equal(
    leaf.deviceScope,
    (await there.devices.get('edge')).deviceScope,
    'the scope is that of the edge device here',
  );

  const before = await there.devices.get('a');
  const second = await imported(there, devices);
  assert.deepEqual(second.job.counts, { total: 7, done: 7, unchanged: 7, failed: 0 });
  assert.deepEqual(await there.devices.get('a'), before, 'what is there already just so is not touched');
  api.close();
  there.close();
});

/** What a hub gives by itself. */
function withoutVersions(line: Record<string, unknown>) {
  const { eTag: _etag, twinETag: _twinETag, deviceScope, parentScopes, properties, ...others } = line;
  const { desired, reported } = properties as Record<string, Record<string, unknown>>;
  const values = ({ $metadata: _metadata, $version: _version, ...rest }: Record<string, unknown>) => rest;
  const local = (scope: unknown) => String(scope).replace(/-\d+$/, '');
  return {
    ...others,
    scope: [deviceScope, ...((parentScopes as unknown[]) ?? [])].map(local),
    desired: values(desired),
    reported: values(reported),
  };
}

test('each line of an import stands for itself, and what could not be taken is told', async () => {
  await using hub = await startHub();
  const api = apiOf(hub);
  const kept = await api.devices.create('kept', { authentication: sas(1) as never });
  await api.devices.create('gone');
  await api.devices.create('twin');
  const { job, errors } = await imported(api, [
    { id: 'new', importMode: 'Create', tags: { a: 1 }, properties: { reported: { seen: true } } },
    { id: 'kept', importMode: 'create' },
    { id: 'kept', importMode: 'update', status: 'disabled', authentication: { type: 'sas' } },
    { id: 'nobody', importMode: 'update' },
    { id: 'kept', importMode: 'updateIfMatchETag', eTag: 'stale' },
    { id: 'kept', importMode: 'updateIfMatchETag' },
    { id: 'gone', importMode: 'delete' },
    { id: 'gone', importMode: 'deleteIfMatchETag', eTag: 'x' },
    { id: 'twin', importMode: 'updateTwin', tags: { b: 2 } },
    { id: 'twin', importMode: 'updateTwinIfMatchETag', twinETag: 'stale', tags: { b: 3 } },
    { id: 'twin', importMode: 'updateTwin' },
    { id: 'new', importMode: 'other' },
    { id: 'not an id' },
    { id: 'bad', tags: { 'a.b': 1 } },
    { id: 'short', authentication: { symmetricKey: { primaryKey: 'c2hvcnQ=' } } },
    { id: 'nowhere', moduleId: 'm' },
    { moduleId: 'm' },
    [],
  ]);
  assert.equal(job.status, 'completed');
  assert.equal(job.counts.done, 18);
  const numbers = errors.sort((a, b) => a.line - b.line).map(({ line, errorCode }) => [line, errorCode]);
  assert.deepEqual(numbers, [
    [2, 409001],
    [4, 404001],
    [5, 412001],
    [6, 400005],
    [8, 404001],
    [10, 412001],
    [11, 400005],
    [12, 400004],
    [13, 400004],
    [14, 400004],
    [15, 400004],
    [16, 404001],
    [17, 400005],
    [18, 400006],
  ]);
  assert.deepEqual(errors[13], { line: 18, errorCode: 400006, errorStatus: 'The line is not a JSON object.' });
  assert.deepEqual([errors[11].deviceId, errors[11].moduleId], ['nowhere', 'm']);
  assert.ok(!JSON.stringify(errors).includes('c2hvcnQ='), 'no key is told');
  const now = await api.devices.get('kept');
  assert.deepEqual([now.status, now.authentication], ['disabled', kept.authentication], 'keys that are left out stay');
  const twin = await api.twins.get({ deviceId: 'new' });
  assert.deepEqual([twin.tags, twin.properties.reported.seen], [{ a: 1 }, true]);
  assert.deepEqual((await api.twins.get({ deviceId: 'twin' })).tags, { b: 2 });
  assert.deepEqual((await api.twins.get({ deviceId: 'bad' })).tags, {}, 'the identity was taken, its twin not');

  // A twinETag of another hub is no condition, unless the mode says so.
  await imported(api, [{ id: 'moved', twinETag: 'AAAAAAAAAAc=', tags: { a: 1 } }]);
  const fresher = await imported(api, [{ id: 'moved', twinETag: 'AAAAAAAAAAk=', tags: { a: 2 } }]);
  assert.deepEqual([fresher.errors, (await api.twins.get({ deviceId: 'moved' })).tags], [[], { a: 2 }]);

  // One key of two: the other is made once, and stays with the next import.
  const one = { symmetricKey: { primaryKey: sas(3).symmetricKey.primaryKey, secondaryKey: null }, type: 'sas' };
  await imported(api, [{ id: 'half', authentication: one }]);
  const made = (await api.devices.get('half')).authentication.symmetricKey;
  assert.equal(made?.primaryKey, one.symmetricKey.primaryKey);
  assert.equal((await imported(api, [{ id: 'half', authentication: one }])).job.counts.unchanged, 1);
  await imported(api, [{ id: 'half', status: 'disabled', authentication: one }]);
  const half = await api.devices.get('half');
  assert.deepEqual([half.status, half.authentication.symmetricKey], ['disabled', made]);
  api.close();
});

test('one at a time, by permission, cancelled, listed, without keys and without signatures', async () => {
  await using hub = await startHub();
  const [api, service] = [apiOf(hub), await backEndOf(hub)];
  await api.devices.create('d1');
  assert.equal((await service('GET', '/jobs?api-version=2021-04-12')).status, 401);

  // The hub makes the container where none is named, and tells its address to the one who has asked.
  const created = await api.registryJobs.create({ type: 'Export', excludeKeysInExport: true });
  const ended = await endOf(api, created.jobId);
  assert.equal(ended.status, 'completed');
  const containerUri = created.outputBlobContainerUri ?? '';
  const line = JSON.parse((await fileOf(api, containerUri, 'devices.txt')) ?? '');
  assert.deepEqual(line.authentication.symmetricKey, { primaryKey: null, secondaryKey: null });
  assert.ok(!JSON.stringify(await api.registryJobs.list()).includes('sig='), 'who reads of a job gets no signature');
  const forged = containerUri.replace(/sig=[^&]+/, `sig=${'0'.repeat(20)}`);
  await assert.rejects(api.registryJobs.create({ type: 'export', outputBlobContainerUri: forged }), {
    code: 'BlobContainerValidationError',
    message: 'The address of the area is over, or it is not as this hub has signed it.',
  });
  for (const uri of [
    'http://127.0.0.1:1/c?sig=x',
    'https://127.0.0.1/c?sig=x',
    'https://169.254.169.254/latest?sig=x',
    'https://blob.core.windows.net.evil.example/c?sig=x',
    'https://a.blob.core.windows.net/c',
    'file:///etc/passwd?sig=x',
    'nothing',
  ]) {
    await assert.rejects(api.registryJobs.create({ type: 'export', outputBlobContainerUri: uri }), {
      code: 'BlobContainerValidationError',
    });
  }
  await assert.rejects(
    api.registryJobs.create({ type: 'import', inputBlobContainerUri: containerUri, inputBlobName: 'none' }),
    {
      code: 'BlobContainerValidationError',
    },
  );
  await assert.rejects(api.registryJobs.create({ type: 'import' }), { code: 'ArgumentNull' });
  const oneFile = { includeConfigurations: true, configurationsBlobName: 'devices.txt' };
  await assert.rejects(api.registryJobs.create({ type: 'export', ...oneFile }), { code: 'ArgumentInvalid' });
  const fromOneFile = { type: 'import', inputBlobContainerUri: containerUri, ...oneFile };
  await assert.rejects(api.registryJobs.create(fromOneFile), { code: 'ArgumentInvalid' });
  await assert.rejects(api.registryJobs.create({ type: 'both' }), { code: 'ArgumentInvalid' });
  await assert.rejects(api.registryJobs.get('00000000-0000-4000-8000-000000000000'), { code: 'JobNotFound' });

  const many = Array.from({ length: 20_000 }, (_, nth) => ({ id: `many-${nth}` }));
  const started = imported(api, many);
  let running = await api.registryJobs.list();
  while (running[0].type !== 'import') running = await api.registryJobs.list();
  await assert.rejects(api.registryJobs.create({ type: 'export' }), { code: 'JobQuotaExceeded' });
  await api.registryJobs.cancel(running[0].jobId);
  const { job } = await started;
  assert.equal(job.status, 'cancelled');
  await api.registryJobs.cancel(job.jobId);
  const after = await exported(api);
  assert.equal(after.job.status, 'completed');
  assert.ok(after.devices.length < 20_000, 'the rest was not begun');
  api.close();
});

test('configurations go along in a file of their own; a job is known among the jobs over many devices', async () => {
  await using hub = await startHub();
  const [api, owner] = [apiOf(hub), await ownerOf(hub)];
  const version = 'api-version=2021-04-12';
  const configuration = {
    ...{ id: 'climate', labels: { by: 'me' }, targetCondition: "tags.site = 'n'", priority: 7 },
    content: { deviceContent: { 'properties.desired.climate': { mode: 'auto', steps: [1, 2] } } },
    metrics: { queries: { n: 'SELECT deviceId FROM devices' } },
  };
  assert.equal((await owner('PUT', `/configurations/climate?${version}`, { body: configuration })).status, 200);
  const { job, containerUri } = await exported(api, { includeConfigurations: true, configurationsBlobName: 'c.txt' });
  assert.deepEqual([job.includeConfigurations, job.configurationsBlobName], [true, 'c.txt']);
  const text = (await fileOf(api, containerUri, 'c.txt')) ?? '';
  const { content, priority, etag } = JSON.parse(text);
  assert.deepEqual([content, priority], [configuration.content, 7]);
  assert.ok(etag);
  const other = await owner('GET', `/jobs/v2/${job.jobId}?${version}`);
  assert.deepEqual([other.status, JSON.parse(other.body.toString()).status], [200, 'unknown']);
  assert.equal((await owner('GET', `/jobs/v2/none?${version}`)).status, 404);

  await using second = await startHub();
  const [there, its] = [apiOf(second), await ownerOf(second)];
  const area = (await there.registryJobs.openArea()).containerUri;
  await putFile(there, area, 'devices.txt', [{ id: 'd1', tags: { site: 'n' } }]);
  const request = { type: 'import', inputBlobContainerUri: area, includeConfigurations: true };
  await assert.rejects(there.registryJobs.create(request), { code: 'BlobContainerValidationError' });
  await putFile(there, area, 'configurations.txt', `${text}{"id":"Bad Id"}\nnothing\n`);
  for (const unchanged of [0, 2]) {
    const ended = await endOf(there, (await there.registryJobs.create(request)).jobId);
    assert.deepEqual([ended.status, ended.counts], ['completed', { total: 4, done: 4, unchanged, failed: 2 }]);
  }
  const errors = ((await fileOf(there, area, 'importErrors.log')) ?? '')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.deepEqual(
    errors.map(({ file, line, errorCode }) => [file, line, errorCode]),
    [
      ['configurations.txt', 2, 400004],
      ['configurations.txt', 3, 400006],
    ],
  );
  const back = JSON.parse((await its('GET', `/configurations/climate?${version}`)).body.toString());
  assert.deepEqual(
    [back.content, back.labels, back.targetCondition, back.metrics.queries],
    [configuration.content, configuration.labels, configuration.targetCondition, configuration.metrics.queries],
  );
  // And it is carried out.
  for (;;) {
    const { properties } = await there.twins.get({ deviceId: 'd1' });
    if (properties.desired.climate !== undefined) break;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  api.close();
  there.close();
});
