/** The registry as a file, as a person at a terminal works with it; and a move in from Azure. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { apiOf } from '../drivers/api.ts';
import { runMooring, startHub } from '../drivers/hub.ts';

const key = (fill: number): string => Buffer.alloc(32, fill).toString('base64');
const never = '0001-01-01T00:00:00Z';

/** As the service writes them: CRLF, its own scopes, ETags and metadata, a child before its parent. */
const azure = [
  {
    id: 'leaf-1',
    eTag: 'MTIz',
    status: 'enabled',
    authentication: {
      symmetricKey: { primaryKey: key(1), secondaryKey: key(2) },
      x509Thumbprint: { primaryThumbprint: null, secondaryThumbprint: null },
      type: 'sas',
    },
    twinETag: 'AAAAAAAAAAc=',
    tags: { site: { floor: 3 } },
    properties: {
      desired: { interval: 5, $metadata: { $lastUpdated: never, interval: { $lastUpdated: never } }, $version: 9 },
      reported: { fw: '1.2', $metadata: { $lastUpdated: never, fw: { $lastUpdated: never } }, $version: 4 },
    },
    capabilities: { iotEdge: false },
    deviceScope: 'ms-azure-iot-edge://gateway-637912345678901234',
    parentScopes: ['ms-azure-iot-edge://gateway-637912345678901234'],
  },
  {
    id: 'gateway',
    eTag: 'NDU2',
    status: 'enabled',
    authentication: {
      symmetricKey: { primaryKey: key(3), secondaryKey: key(4) },
      x509Thumbprint: { primaryThumbprint: null, secondaryThumbprint: null },
      type: 'sas',
    },
    twinETag: 'AAAAAAAAAAE=',
    tags: {},
    properties: {
      desired: { $metadata: { $lastUpdated: never }, $version: 1 },
      reported: { $metadata: {}, $version: 1 },
    },
    capabilities: { iotEdge: true },
    deviceScope: 'ms-azure-iot-edge://gateway-637912345678901234',
    parentScopes: [],
  },
  {
    id: 'lost',
    authentication: { type: 'sas' },
    deviceScope: 'ms-azure-iot-edge://unknown-1',
  },
];

test('registry import takes an export of Azure, says what it could not take, and may be run again; registry export gives it back', async () => {
  await using hub = await startHub();
  const folder = mkdtempSync(path.join(tmpdir(), 'mooring-cli-registry-'));
  const login = ['--data-dir', hub.dataDir];
  const file = path.join(folder, 'devices.txt');
  try {
    writeFileSync(file, azure.map((line) => JSON.stringify(line)).join('\r\n'));
    const run = await runMooring(['registry', 'import', file, ...login, '--json']);
    assert.equal(run.code, 1);
    const { jobId, ...summary } = JSON.parse(run.stdout);
    const report = `${file}.errors.log`;
    assert.deepEqual(summary, { lines: 3, taken: 2, unchanged: 0, failed: 1, report });
    assert.match(JSON.parse(run.stderr).error, /1 lines could not be taken/);
    const [error] = readFileSync(report, 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    assert.deepEqual([error.line, error.deviceId], [3, 'lost']);
    assert.match(error.errorStatus, /scope/);
    assert.equal(statSync(report).mode & 0o777, 0o600);

    const api = apiOf(hub);
    const leaf = await api.devices.get('leaf-1');
    assert.deepEqual(leaf.authentication.symmetricKey, { primaryKey: key(1), secondaryKey: key(2) });
    assert.equal(leaf.deviceScope, (await api.devices.get('gateway')).deviceScope);
    const { tags, properties } = await api.twins.get({ deviceId: 'leaf-1' });
    assert.deepEqual([tags, properties.desired.interval, properties.reported.fw], [{ site: { floor: 3 } }, 5, '1.2']);
    const areas = path.join(hub.dataDir, 'files');
    const left = readdirSync(areas, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    assert.ok(!left.some(({ name }) => name.includes('devices')), 'what holds keys does not stay at the hub');

    writeFileSync(
      file,
      `${azure
        .slice(0, 2)
        .map((line) => JSON.stringify(line))
        .join('\n')}\n`,
    );
    const again = await runMooring(['registry', 'import', file, ...login]);
    assert.equal(again.code, 0, again.stderr);
    assert.match(again.stderr, /Took 2 of 2 lines; 2 were there already just so\./);
    assert.ok(!existsSync(report), 'the report of before tells of a line that is mended');

    const out = path.join(folder, 'out.txt');
    const settings = path.join(folder, 'configurations.txt');
    const exported = await runMooring(['registry', 'export', out, '--configurations', settings, ...login, '--json']);
    assert.equal(readFileSync(settings, 'utf8').trim(), '', 'there are none');
    assert.equal(exported.code, 0, exported.stderr);
    assert.equal(JSON.parse(exported.stdout).identities, 4);
    assert.equal(statSync(out).mode & 0o777, 0o600);
    const lines = readFileSync(out, 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    assert.deepEqual(
      lines.map(({ id, moduleId }) => moduleId ?? id),
      ['gateway', '$edgeAgent', '$edgeHub', 'leaf-1'],
    );
    assert.equal(lines[3].authentication.symmetricKey.primaryKey, key(1));
    const configuration = { id: 'c1', targetCondition: '*', content: { deviceContent: { 'properties.desired.a': 1 } } };
    writeFileSync(settings, JSON.stringify(configuration));
    const both = await runMooring(['registry', 'import', out, '--configurations', settings, ...login, '--json']);
    assert.equal(both.code, 0, both.stderr);
    assert.deepEqual([JSON.parse(both.stdout).taken, JSON.parse(both.stdout).unchanged], [5, 4]);
    const bare = path.join(folder, 'bare.txt');
    assert.equal((await runMooring(['registry', 'export', bare, '--no-keys', ...login])).code, 0);
    assert.ok(!readFileSync(bare, 'utf8').includes(key(1)));

    const jobs = await runMooring(['registry', 'jobs', ...login, '--json']);
    const listed = JSON.parse(jobs.stdout);
    assert.deepEqual(
      listed.map(({ type, status }: { type: string; status: string }) => `${type} ${status}`),
      ['export completed', 'import completed', 'export completed', 'import completed', 'import completed'],
    );
    assert.equal(listed[4].jobId, jobId);
    const text = await runMooring(['registry', 'jobs', ...login]);
    assert.match(text.stdout, /import\s+completed\s+3\s+1/);
    assert.equal((await runMooring(['registry', 'cancel', jobId, ...login])).code, 0);
    const none = await runMooring(['registry', 'import', path.join(folder, 'none'), ...login, '--json']);
    assert.equal(none.code, 1);
    assert.match(JSON.parse(none.stderr).error, /none cannot be used: ENOENT/);
    const said = hub.stdout() + hub.stderr();
    for (const fill of [1, 2, 3, 4]) assert.ok(!said.includes(key(fill)), 'no key stands in the log');
    assert.ok(!hub.stderr().includes('sig='), 'no signature stands in the log');
    api.close();
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('registry import goes on over a kill of the hub, and leaves no file with keys there, also when it is refused', async () => {
  let hub = await startHub();
  const folder = mkdtempSync(path.join(tmpdir(), 'mooring-cli-registry-'));
  const file = path.join(folder, 'devices.txt');
  const login = ['--data-dir', hub.dataDir];
  const left = () =>
    readdirSync(path.join(hub.dataDir, 'files'), { recursive: true, withFileTypes: true }).filter(
      (entry) => entry.isFile() && entry.name.includes('devices'),
    );
  try {
    const devices = Array.from({ length: 3000 }, (_, nth) => `{"id":"d${nth}","tags":{"nth":${nth}}}\n`);
    writeFileSync(file, devices.join(''));
    const none = path.join(folder, 'none');
    const refused = await runMooring(['registry', 'import', file, '--configurations', none, ...login]);
    assert.equal(refused.code, 1);
    assert.deepEqual(left(), [], 'what was sent before the refusal');

    const running = runMooring(['registry', 'import', file, ...login, '--json']);
    const api = apiOf(hub);
    while (((await api.registryJobs.list())[0]?.counts.done ?? 0) === 0) await sleep(10);
    api.close();
    await hub.kill();
    hub = await hub.restart();
    const run = await running;
    assert.equal(run.code, 0, run.stderr);
    const { taken, failed } = JSON.parse(run.stdout);
    assert.deepEqual([taken, failed], [3000, 0]);
    assert.deepEqual(left(), []);
  } finally {
    await hub[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true });
  }
});
