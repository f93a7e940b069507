/** A hub whose files are in an Azure storage account: devices send to the account, back ends hear of it, and put files. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import https from 'node:https';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { apiOf } from '../drivers/api.ts';
import { backEndOf } from '../drivers/back-end.ts';
import { FaultyLink } from '../drivers/faulty-link.ts';
import { type FileAnswer, type FileDevice, fileDevice, request, type Ticket } from '../drivers/file-device.ts';
import { runMooring, startHub, type TestHub } from '../drivers/hub.ts';
import { type LoopbackCertificate, loopbackCertificate } from '../drivers/object-certificate.ts';
import { type Azurite, missingAzurite, startAzurite } from '../drivers/object-servers.ts';

const skip = missingAzurite();
let folder: string;
let certificate: LoopbackCertificate;
let azurite: Azurite;

before(async () => {
  if (skip !== false) return;
  folder = mkdtempSync(path.join(tmpdir(), 'mooring-azure-hub-'));
  certificate = await loopbackCertificate();
  writeFileSync(path.join(folder, 'ca.pem'), certificate.authority);
  azurite = await startAzurite({ tls: certificate });
});
after(async () => {
  await azurite?.[Symbol.asyncDispose]();
  if (folder !== undefined) rmSync(folder, { recursive: true });
});

const json = (answer: FileAnswer) => JSON.parse(answer.body.toString());
const newContainer = (): string => `c${randomBytes(8).toString('hex')}`;

/** Flags and variables of a hub with a container of its own. */
const inAccount = (account: Azurite, container = newContainer()) => ({
  args: [
    ...['--files-store', 'azure', '--files-azure-container', container],
    ...['--files-store-ca-file', path.join(folder, 'ca.pem')],
  ],
  env: { MOORING_FILES_AZURE_CONNECTION_STRING: account.connectionString },
});

/** What a storage library sends to the ticket's URL. */
function toAccount(
  method: string,
  { hostName, containerName, blobName, sasToken }: Ticket,
  { query = '', body = Buffer.alloc(0), headers = {} }: { query?: string; body?: Buffer; headers?: object } = {},
): Promise<{ status: number; body: Buffer }> {
  const url = `https://${hostName}/${containerName}/${blobName.split('/').map(encodeURIComponent).join('/')}`;
  const sent = { 'x-ms-version': '2020-10-02', 'content-length': String(body.length), ...headers };
  return new Promise((resolve, reject) => {
    const options = { method, headers: sent, ca: certificate.authority, agent: false };
    const asked = https.request(`${url}${sasToken}${query}`, options, (answer) => {
      const pieces: Buffer[] = [];
      answer.on('data', (piece: Buffer) => pieces.push(piece));
      answer.on('error', reject);
      answer.on('end', () => {
        resolve({ status: answer.statusCode ?? 0, body: Buffer.concat(pieces) });
      });
    });
    asked.on('error', reject);
    asked.end(body);
  });
}

const asBlob = { 'x-ms-blob-type': 'BlockBlob', 'content-type': 'text/plain' };
const end = (device: FileDevice, { correlationId }: Ticket) =>
  device.ask('POST', '/files/notifications?api-version=2020-09-30', { correlationId, isSuccess: true });
const checkOf = async (hub: TestHub) => {
  const url = `http://127.0.0.1:${hub.endpoints.ports.admin}/readyz`;
  const answer = await fetch(url, { headers: { accept: 'application/json' } });
  const { checks } = (await answer.json()) as { checks: { name: string; status: string; reason?: string }[] };
  return checks.find(({ name }) => name === 'files');
};

test('a device sends to the account, in one piece and in blocks; back ends hear of what is there', {
  skip,
}, async () => {
  await using hub = await startHub(inAccount(azurite));
  const ask = await backEndOf(hub);
  const device = await fileDevice(hub, 'd1');
  const ticket = await device.begin('logs/a b.txt');
  assert.equal(ticket.hostName, `127.0.0.1:${azurite.port}/mooring`);
  assert.equal((await end(device, ticket)).status, 400, 'nothing is there yet');
  assert.equal((await toAccount('PUT', ticket, { body: Buffer.from('warm'), headers: asBlob })).status, 201);
  const other = { ...ticket, blobName: 'd2/logs/a b.txt' };
  const foreign = await toAccount('PUT', other, { body: Buffer.from('warm'), headers: asBlob });
  assert.equal(foreign.status, 403, 'the URL is for one blob');
  assert.equal((await end(device, ticket)).status, 204);

  const large = await device.begin('large');
  const blocks = [randomBytes(300_000), randomBytes(11)];
  const ids = blocks.map((_, nth) => Buffer.from(`00000${nth}`).toString('base64'));
  for (const [nth, body] of blocks.entries()) {
    const query = `&comp=block&blockid=${encodeURIComponent(ids[nth])}`;
    assert.equal((await toAccount('PUT', large, { query, body })).status, 201);
  }
  assert.equal((await end(device, large)).status, 400, 'no list, no file');
  const list = Buffer.from(`<BlockList>${ids.map((id) => `<Latest>${id}</Latest>`).join('')}</BlockList>`);
  assert.equal((await toAccount('PUT', large, { query: '&comp=blocklist', body: list })).status, 201);
  assert.equal((await end(device, large)).status, 204);

  const notification = json(await ask('GET', '/mooring/v1/file-notifications'));
  assert.match(
    JSON.stringify(notification),
    new RegExp(`https://127.0.0.1:${azurite.port}/mooring/c[0-9a-f]+/d1/logs/a%20b.txt`),
  );
  assert.doesNotMatch(JSON.stringify(notification), /sig=/);

  // Both sides read it through the hub, as from every store.
  const own = await device.ask('GET', '/files/large');
  assert.deepEqual([own.status, own.body.equals(Buffer.concat(blocks))], [200, true]);
  const listed = json(await ask('GET', '/mooring/v1/devices/d1/files')).files;
  assert.deepEqual(
    listed.map(({ name, bytes }: { name: string; bytes: number }) => [name, bytes]),
    [
      ['large', 300_011],
      ['logs/a b.txt', 4],
    ],
  );
  assert.deepEqual(await checkOf(hub), { name: 'files', status: 'ok' });
  const metrics = await (await fetch(`http://127.0.0.1:${hub.endpoints.ports.admin}/metrics`)).text();
  assert.match(metrics, /mooring_files_store_requests_total\{outcome="ok"\} [1-9]/);
  assert.doesNotMatch(metrics, /^mooring_files_bytes /m, 'the account counts, the hub does not');
  assert.equal((await device.ask('POST', '/files', { blobName: 'x'.repeat(1023) })).status, 400, 'too long with d1/');
});

test('a back end puts a file there; a device fetches it through the hub, with a receipt', { skip }, async () => {
  await using hub = await startHub(inAccount(azurite));
  const ask = await backEndOf(hub);
  const device = await fileDevice(hub, 'd1');
  const bytes = randomBytes(300_000);
  const isNew = { 'if-none-match': '*', 'content-type': 'application/x-firmware' };
  assert.equal((await ask('PUT', '/mooring/v1/files/fw/v2.bin', { headers: isNew, body: bytes })).status, 201);
  assert.equal((await ask('PUT', '/mooring/v1/files/fw/v2.bin', { headers: isNew, body: bytes })).status, 412);
  const body = { name: 'fw/v2.bin', devices: [{ deviceId: 'd1' }], expiresInSeconds: 600 };
  const [{ url }] = json(await ask('POST', '/mooring/v1/file-grants', { body })).grants;
  const { pathname, search } = new URL(url);
  const part = await request(hub, 'GET', pathname + search, { range: 'bytes=0-99999' });
  assert.deepEqual([part.status, part.body.equals(bytes.subarray(0, 100_000))], [206, true]);
  const whole = await device.ask('GET', '/files/fw/v2.bin');
  assert.deepEqual([whole.headers['content-type'], whole.body.equals(bytes)], ['application/x-firmware', true]);
  const [{ fetched }] = json(await ask('GET', '/mooring/v1/file-grants?name=fw/v2.bin')).grants;
  assert.equal(fetched.sentBytes, 300_000);
});

test('the files of a device go with it where that is set', { skip }, async () => {
  const { args, env } = inAccount(azurite);
  await using hub = await startHub({ args: [...args, '--files-deleted-with-device', 'on'], env });
  const ask = await backEndOf(hub);
  const [device, other] = [await fileDevice(hub, 'd1'), await fileDevice(hub, 'd10')];
  for (const one of [device, other]) {
    const ticket = await one.begin('x');
    assert.equal((await toAccount('PUT', ticket, { body: Buffer.from('warm'), headers: asBlob })).status, 201);
  }
  const api = apiOf(hub);
  await api.devices.delete('d1');
  await api.close();
  await fileDevice(hub, 'd1');
  assert.deepEqual(json(await ask('GET', '/mooring/v1/devices/d1/files')).files, []);
  assert.equal(json(await ask('GET', '/mooring/v1/devices/d10/files')).files.length, 1);
});

test('while the account is away: refusals that say so, a warning, and a hub that starts', { skip }, async () => {
  await using own = await startAzurite({ tls: certificate });
  const settings = inAccount(own);
  let hub = await startHub(settings);
  try {
    const ask = await backEndOf(hub);
    const device = await fileDevice(hub, 'd1');
    const ticket = await device.begin('x');
    assert.equal((await toAccount('PUT', ticket, { body: Buffer.from('warm'), headers: asBlob })).status, 201);
    await own.stop();
    assert.equal((await end(device, ticket)).status, 503);
    assert.equal((await ask('PUT', '/mooring/v1/files/fw', { body: randomBytes(10) })).status, 503);
    assert.equal((await device.ask('GET', '/files/x')).status, 503);
    await hub.stop();
    hub = await hub.restart();
    // The first look may be still under way.
    let check = await checkOf(hub);
    while (check?.reason === 'there is no answer yet') check = await checkOf(hub);
    assert.equal(check?.status, 'warn');
    assert.match(check?.reason ?? '', /the store of files \(azure\) cannot be used/);
    await own.restart();
    assert.equal((await end(device, ticket)).status, 204, 'the upload is still open, and its file there');
    const key = /AccountKey=([^;]+)/.exec(own.connectionString)?.[1] ?? '';
    assert.ok(!hub.stderr().includes(key) && !hub.stderr().includes('sig='), 'no secret in the log');
  } finally {
    await hub[Symbol.asyncDispose]();
  }
});

test('kill -9 before the account has put the blocks together: nothing is seen, nothing is left', { skip }, async () => {
  await using own = await startAzurite();
  await using link = await FaultyLink.to(own.port);
  const connectionString = own.connectionString.replace(`:${own.port}/`, `:${link.port}/`);
  let hub = await startHub(inAccount({ ...own, connectionString }));
  try {
    const bytes = randomBytes(40 * 1024 * 1024);
    const put = async () => (await backEndOf(hub))('PUT', '/mooring/v1/files/fw', { body: bytes });
    const isHeld = link.fail((piece) =>
      piece.includes('comp=blocklist') && piece.includes('PUT /') ? 'hold' : 'pass',
    );
    const lost = put();
    lost.catch(() => {});
    await isHeld;
    await hub.kill();
    await assert.rejects(lost);
    link.heal();
    hub = await hub.restart();
    const read = async () => (await backEndOf(hub))('GET', '/mooring/v1/files/fw');
    assert.equal((await read()).status, 404);
    assert.deepEqual(readdirSync(path.join(hub.dataDir, 'files', '.staging')), []);
    assert.equal((await put()).status, 201);
    assert.ok((await read()).body.equals(bytes));
  } finally {
    await hub[Symbol.asyncDispose]();
  }
});

test('settings that can never work are refused at the start, without a word of the key', { skip }, async () => {
  const { args, env } = inAccount(azurite);
  const dataDir = path.join(folder, 'refused');
  const serve = (variables: Readonly<Record<string, string>>) =>
    runMooring(['serve', '--data-dir', dataDir, '--https-port', '0', ...args], variables);
  const key = randomBytes(64).toString('base64');
  const wrong = await serve({
    MOORING_FILES_AZURE_CONNECTION_STRING: env.MOORING_FILES_AZURE_CONNECTION_STRING.replace(
      /AccountKey=[^;]+/,
      `AccountKey=${key}`,
    ),
  });
  assert.notEqual(wrong.code, 0);
  assert.match(
    wrong.stderr,
    /The store of files \(azure\) cannot be used: the storage account answers with status 403/,
  );
  assert.ok(!`${wrong.stdout}${wrong.stderr}`.includes(key));
  assert.match((await serve({})).stderr, /filesStore azure needs filesAzureConnectionString/);
  const plain = await serve({
    MOORING_FILES_AZURE_CONNECTION_STRING: `AccountName=a;AccountKey=${key};BlobEndpoint=http://store.example`,
  });
  assert.match(plain.stderr, /MOORING_FILES_AZURE_CONNECTION_STRING: what is given is not allowed/);
  assert.ok(!plain.stderr.includes(key));
});
