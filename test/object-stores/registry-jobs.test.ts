/** Import and export of the registry to and from a container of a storage account (Azurite), by an address with a signature. */
import assert from 'node:assert/strict';
import { createHmac, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import { type AzureAccount, readConnectionString } from '../../src/stores/objects/azure/account.ts';
import { type AzureStore, openAzureStore } from '../../src/stores/objects/azure/azure-store.ts';
import { apiOf } from '../drivers/api.ts';
import { FaultyLink, type Verdict } from '../drivers/faulty-link.ts';
import { startHub, type TestHub } from '../drivers/hub.ts';
import { type Azurite, missingAzurite, startAzurite } from '../drivers/object-servers.ts';
import { endOf } from '../drivers/registry-jobs.ts';

const skip = missingAzurite();
let folder: string;
let azurite: Azurite;

before(async () => {
  if (skip !== false) return;
  folder = mkdtempSync(path.join(tmpdir(), 'mooring-jobs-azure-'));
  azurite = await startAzurite();
});
after(async () => {
  await azurite?.[Symbol.asyncDispose]();
  if (folder !== undefined) rmSync(folder, { recursive: true });
});

/** What the operator of a storage account makes: a signed address of a container (documentation: "Create a service SAS"). */
function containerSas({ name, endpoint, key }: AzureAccount, container: string, sp: string): string {
  const se = `${new Date(Date.now() + 3_600_000).toISOString().slice(0, 19)}Z`;
  const fields = [
    ...[sp, '', se, `/blob/${name}/${container}`, '', '', '', '2020-12-06', 'c'],
    ...['', '', '', '', '', '', ''],
  ];
  const sig = createHmac('sha256', key).update(fields.join('\n')).digest('base64');
  const query = new URLSearchParams({ sv: '2020-12-06', sr: 'c', se, sp, sig });
  return `${endpoint}/${container}?${query}`;
}

async function openContainer(): Promise<{ store: AzureStore; account: AzureAccount; name: string }> {
  const account = readConnectionString(azurite.connectionString);
  const name = `c${randomBytes(8).toString('hex')}`;
  const store = await openAzureStore({
    ...{ account, container: name, ca: undefined, folder: path.join(folder, name), clock: systemClock },
    observe: () => {},
  });
  await store.prepare();
  return { store, account, name };
}

async function textOf(store: AzureStore, name: string): Promise<string | undefined> {
  const found = await store.read(name);
  if (found === undefined) return undefined;
  const pieces: Uint8Array[] = [];
  for await (const piece of found.body) pieces.push(Buffer.from(piece));
  return Buffer.concat(pieces).toString();
}

async function* once(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text);
}

const allowed = (): { args: string[] } => ({ args: ['--registry-blob-hosts', `127.0.0.1:${azurite.port}`] });

test('an export and an import by a container of a storage account', { skip }, async () => {
  await using hub = await startHub(allowed());
  const api = apiOf(hub);
  const { store, account, name } = await openContainer();
  const uri = containerSas(account, name, 'rwdl');
  for (let nth = 0; nth < 250; nth++) await api.devices.create(`d${nth}`);
  const { jobId } = await api.registryJobs.create({
    type: 'export',
    outputBlobContainerUri: uri,
    outputBlobName: 'a/out.txt',
  });
  const job = await endOf(api, jobId);
  assert.deepEqual([job.status, job.failureReason, job.counts.done], ['completed', undefined, 250]);
  assert.equal(job.outputBlobContainerUri, `${account.endpoint}/${name}`);
  const text = (await textOf(store, 'a/out.txt')) ?? '';
  assert.equal(text.trimEnd().split('\n').length, 250);

  await using other = await startHub(allowed());
  const there = apiOf(other);
  const plain = { contentType: 'text/plain', condition: {}, bytesMax: 1e9 };
  await store.put('devices.txt', once(`${text}{"id":"no id"}\n`), plain);
  const input = { inputBlobContainerUri: containerSas(account, name, 'r'), outputBlobContainerUri: uri };
  const imported = await endOf(there, (await there.registryJobs.create({ type: 'import', ...input })).jobId);
  assert.deepEqual(
    [imported.status, imported.counts],
    ['completed', { total: 251, done: 251, unchanged: 0, failed: 1 }],
  );
  const errors = (await textOf(store, 'importErrors.log')) ?? '';
  assert.deepEqual(JSON.parse(errors).line, 251);
  assert.equal((await there.statistics.devices()).totalDeviceCount, 250);
  const said = hub.stderr() + other.stderr();
  assert.ok(!said.includes('sig='), 'no signature stands in the log');
  api.close();
  there.close();
  await store.close();
});

test('what the signature does not allow, and what the setting does not name, is refused at once', {
  skip,
}, async () => {
  await using hub = await startHub(allowed());
  const api = apiOf(hub);
  const { store, account, name } = await openContainer();
  const refused = (request: object) =>
    assert.rejects(api.registryJobs.create({ type: 'export', ...request }), { code: 'BlobContainerValidationError' });
  await refused({ outputBlobContainerUri: containerSas(account, name, 'r') });
  await refused({ outputBlobContainerUri: containerSas(account, 'nowhere', 'rw') });
  await refused({ outputBlobContainerUri: containerSas(account, name, 'rw').replace('sig=', 'sig=x') });
  await refused({ outputBlobContainerUri: containerSas(account, name, 'rw').replace('127.0.0.1', 'localhost') });
  await using closed: TestHub = await startHub();
  const other = apiOf(closed);
  await assert.rejects(
    other.registryJobs.create({ type: 'export', outputBlobContainerUri: containerSas(account, name, 'rw') }),
    { code: 'BlobContainerValidationError' },
  );
  assert.deepEqual(await other.registryJobs.list(), []);
  api.close();
  other.close();
  await store.close();
});

test('an account that is away while the file is put together, and one whose answer is lost', { skip }, async () => {
  const { store, account, name } = await openContainer();
  await using link = await FaultyLink.to(azurite.port);
  const through = { ...account, endpoint: account.endpoint.replace(String(azurite.port), String(link.port)) };
  await using hub = await startHub({ args: ['--registry-blob-hosts', `127.0.0.1:${link.port}`] });
  const api = apiOf(hub);
  await api.devices.bulk(Array.from({ length: 100 }, (_, nth) => ({ id: `d${nth}`, importMode: 'create' })));
  // The hub tries each request three times, and then the job again.
  const trials: readonly (readonly [Verdict, number])[] = [
    ['cut', 4],
    ['deaf', 1],
  ];
  for (const [verdict, times] of trials) {
    let left = times;
    const failed = link.fail((piece) => (piece.includes('comp=blocklist') && left-- > 0 ? verdict : 'pass'));
    const outputBlobName = `${verdict}.txt`;
    const request = { type: 'export', outputBlobContainerUri: containerSas(through, name, 'rw'), outputBlobName };
    const { jobId } = await api.registryJobs.create(request);
    await failed;
    const job = await endOf(api, jobId);
    assert.deepEqual([job.status, job.counts.done, job.failureReason], ['completed', 100, undefined], verdict);
    const lines = ((await textOf(store, outputBlobName)) ?? '').trimEnd().split('\n');
    assert.equal(new Set(lines.map((line) => JSON.parse(line).id)).size, 100);
    assert.equal(lines.length, 100);
  }
  await hub.logged(/waits for its container/);
  api.close();
  await store.close();
});
