/** Names of files by every way in and out: what one side writes, the other finds under the same name, and nobody elsewhere. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { backEndOf } from '../drivers/back-end.ts';
import { type FileAnswer, fileDevice, request } from '../drivers/file-device.ts';
import { startHub, type TestHub } from '../drivers/hub.ts';

const asBlob = { 'x-ms-blob-type': 'BlockBlob' };
const json = (answer: FileAnswer) => JSON.parse(answer.body.toString());
const encoded = (name: string): string => name.split('/').map(encodeURIComponent).join('/');
const MIB = 1024 * 1024;

/** What lies beside what the hub has made for itself; where several nodes are, a folder has a name of its own. */
const foldersOf = (hub: TestHub): readonly string[] =>
  readdirSync(path.join(hub.dataDir, 'files')).filter((name) => name !== '.staging' && name !== '.place');

const NAMES = [
  'plain.txt',
  'Plain.txt',
  'a b',
  'a+b',
  'a%20b',
  'a%2Fb',
  'a/b',
  'a%252Fb',
  'é',
  'e\u0301',
  '..a/b..',
  '...',
  '.facts',
  '.staging',
  '~hub',
  '$modules',
  'files/notifications',
  "q?u#e&r=y;'()*!",
  '日'.repeat(1024),
  '𝄞'.repeat(512),
  `${'x'.repeat(1023)}y`,
  `${'x'.repeat(1023)}Y`,
].filter((name) => name !== '$modules');

test('each name is one file, for the device, the back end and the signed URL alike', async () => {
  await using hub = await startHub();
  const ask = await backEndOf(hub);
  const [device, other] = [await fileDevice(hub, 'd1'), await fileDevice(hub, 'D1')];
  for (const name of NAMES) {
    const ticket = await device.begin(name);
    assert.equal(ticket.blobName, `d1/${name}`);
    const put = await device.blob('PUT', ticket, { headers: asBlob, body: `of ${name}` });
    assert.equal(put.status, 201, `${name}: ${put.body}`);
    // As C and .NET write it: the slash encoded, too.
    const whole = `/${ticket.containerName}/${encodeURIComponent(ticket.blobName)}${ticket.sasToken}`;
    assert.equal((await request(hub, 'GET', whole, {})).body.toString(), `of ${name}`, name);
    const { correlationId } = ticket;
    const end = await device.ask('POST', '/files/notifications?api-version=2020-09-30', {
      correlationId,
      isSuccess: true,
    });
    assert.equal(end.status, 204, name);
    const told = await ask('GET', '/mooring/v1/file-notifications');
    assert.equal(json(told).blobName, `d1/${name}`);
    assert.equal(decodeURIComponent(new URL(json(told).blobUri).pathname), `/hub-files/d1/${name}`);
    const lock = encodeURIComponent(String(told.headers.etag).replaceAll('"', ''));
    assert.equal((await ask('DELETE', `/mooring/v1/file-notifications/${lock}`)).status, 204);
  }
  for (const name of NAMES) {
    const read = await ask('GET', `/mooring/v1/devices/d1/files/${encoded(name)}`);
    assert.deepEqual([read.status, read.body.toString()], [200, `of ${name}`], name);
    // Where a device asks for its files, this one is the end of an upload.
    if (name === 'files/notifications') continue;
    const own = await device.ask('GET', `/files/${encoded(name)}`);
    assert.deepEqual([own.status, own.body.toString()], [200, `of ${name}`], name);
    assert.equal((await other.ask('GET', `/files/${encoded(name)}`)).status, 404, name);
  }
  const { files } = json(await ask('GET', '/mooring/v1/devices/d1/files'));
  assert.deepEqual(new Set(files.map((file: { name: string }) => file.name)), new Set(NAMES));
  assert.deepEqual(json(await ask('GET', '/mooring/v1/devices/D1/files')).files, []);
  assert.deepEqual(foldersOf(hub), ['d1']);
  const folder = path.join(hub.dataDir, 'files');
  for (const file of readdirSync(path.join(folder, 'd1'))) {
    if (file !== '.facts') assert.ok(statSync(path.join(folder, 'd1', file)).isFile(), file);
  }
  for (const name of NAMES) {
    assert.equal((await ask('DELETE', `/mooring/v1/devices/d1/files/${encoded(name)}`)).status, 204, name);
    // The same in the part of no device, from which it is granted by its name.
    assert.equal(
      (await ask('PUT', `/mooring/v1/files/${encoded(name)}`, { body: Buffer.from(name) })).status,
      201,
      name,
    );
    const grant = { name, devices: [{ deviceId: 'd1' }], expiresInSeconds: 60 };
    const [{ url }] = json(await ask('POST', '/mooring/v1/file-grants', { body: grant })).grants;
    const { pathname, search } = new URL(url);
    assert.equal((await request(hub, 'GET', pathname + search, {})).body.toString(), name);
  }
});

test('names that lead out of the part, or are none, are refused on every way in', async () => {
  await using hub = await startHub();
  const ask = await backEndOf(hub);
  const device = await fileDevice(hub, 'd1');
  await fileDevice(hub, 'd2');
  assert.equal((await ask('PUT', '/mooring/v1/devices/d2/files/x', { body: Buffer.from('foreign') })).status, 201);
  const names = [
    '..',
    '../d2/x',
    'a/../../d2/x',
    './x',
    'a//x',
    '/x',
    'x/',
    'a\\x',
    'a\0x',
    'a\nx',
    '日'.repeat(1025),
    `${'a/'.repeat(70)}a`,
  ];
  for (const name of names) {
    const shown = JSON.stringify(name).slice(0, 30);
    assert.equal((await device.ask('POST', '/files?api-version=2021-04-12', { blobName: name })).status, 400, shown);
    const target = encodeURIComponent(name);
    for (const part of ['/mooring/v1/files', '/mooring/v1/devices/d1/files']) {
      const put = await ask('PUT', `${part}/${target}`, { body: Buffer.from('x') });
      assert.ok(put.status === 400 || put.status === 404, `PUT ${part} ${shown}: ${put.status}`);
      const got = await ask('GET', `${part}/${target}`);
      assert.ok(got.status === 400 || got.status === 404, `GET ${part} ${shown}: ${got.status}`);
    }
    const own = await device.ask('GET', `/files/${target}`);
    assert.ok(own.status === 400 || own.status === 404, `GET ${shown}: ${own.status}`);
    const grant = { name, devices: [{ deviceId: 'd1' }], expiresInSeconds: 60 };
    assert.equal((await ask('POST', '/mooring/v1/file-grants', { body: grant })).status, 400, shown);
  }
  assert.deepEqual(foldersOf(hub), ['d2']);
});

test('twenty blocks of 4 MiB at a time, as the JavaScript library sends them, are one file without a copy', async () => {
  await using hub = await startHub();
  const device = await fileDevice(hub, 'd1');
  const ticket = await device.begin('large');
  const blocks = Array.from({ length: 40 }, (_, nth) => randomBytes(nth === 39 ? 11 : 4 * MIB));
  const idOf = (nth: number): string => Buffer.from(`0a5f${String(nth).padStart(12, '0')}`).toString('base64');
  const waiting = blocks.map((_, nth) => nth);
  const lane = async (): Promise<void> => {
    for (let nth = waiting.shift(); nth !== undefined; nth = waiting.shift()) {
      const query = `&comp=block&blockid=${encodeURIComponent(idOf(nth))}`;
      assert.equal((await device.blob('PUT', ticket, { query, body: blocks[nth] })).status, 201);
    }
  };
  await Promise.all(Array.from({ length: 20 }, lane));
  const staging = path.join(hub.dataDir, 'files', '.staging');
  const [folder] = readdirSync(staging);
  // Where nodes may share the folder each has a file of its own.
  const data = readdirSync(path.join(staging, folder)).filter((file) => file.startsWith('data'));
  assert.equal(data.length, 1);
  const { ino } = statSync(path.join(staging, folder, data[0]));
  const body = `<BlockList>${blocks.map((_, nth) => `<Latest>${idOf(nth)}</Latest>`).join('')}</BlockList>`;
  assert.equal((await device.blob('PUT', ticket, { query: '&comp=blocklist', body })).status, 201);
  assert.equal(statSync(path.join(hub.dataDir, 'files', 'd1', 'large')).ino, ino);
  assert.ok((await device.blob('GET', ticket)).body.equals(Buffer.concat(blocks)));
});
