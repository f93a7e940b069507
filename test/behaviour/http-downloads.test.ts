/** Files from back ends to devices over a running hub: put, granted, fetched in parts, and what is known of it. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import https from 'node:https';
import { test } from 'node:test';
import { apiOf } from '../drivers/api.ts';
import { backEndOf } from '../drivers/back-end.ts';
import { type FileAnswer, fileDevice, request } from '../drivers/file-device.ts';
import { startHub, type TestHub } from '../drivers/hub.ts';
import { until } from '../drivers/until.ts';

const json = (answer: FileAnswer) => JSON.parse(answer.body.toString());
const bytes = randomBytes(300_000);

test('a file for many devices: granted by name and by URL, fetched in ranges, with a receipt for each', async () => {
  await using hub = await startHub();
  const ask = await backEndOf(hub);
  const [d1, d2] = [await fileDevice(hub, 'd1'), await fileDevice(hub, 'd2')];
  const isNew = { 'if-none-match': '*', 'content-type': 'application/x-firmware' };
  assert.equal((await ask('PUT', '/mooring/v1/files/fw/v2.bin', { headers: isNew, body: bytes })).status, 201);
  assert.equal((await ask('PUT', '/mooring/v1/files/fw/v2.bin', { headers: isNew, body: bytes })).status, 412);
  assert.equal((await d1.ask('GET', '/files/fw/v2.bin')).status, 404, 'not granted yet');
  const granted = await ask('POST', '/mooring/v1/file-grants', {
    body: { name: 'fw/v2.bin', devices: [{ deviceId: 'd1' }, { deviceId: 'none' }], expiresInSeconds: 600 },
  });
  assert.equal(granted.status, 200, granted.body.toString());
  const [mine, none] = json(granted).grants;
  assert.equal(none.error, 'DeviceNotFound');

  // By its identity: the first part, then, after a break, the rest.
  const first = await d1.ask('GET', '/files/fw/v2.bin');
  assert.deepEqual([first.status, first.headers['content-type']], [200, 'application/x-firmware']);
  assert.deepEqual(first.body, bytes);
  assert.equal((await d2.ask('GET', '/files/fw/v2.bin')).status, 404, 'granted to another device');

  // By the URL, without any credential.
  const url = new URL(mine.url);
  const part = await request(hub, 'GET', url.pathname + url.search, { range: 'bytes=0-99999' });
  assert.deepEqual([part.status, part.body.length], [206, 100_000]);
  const put = await request(
    hub,
    'PUT',
    url.pathname + url.search,
    { 'x-ms-blob-type': 'BlockBlob', 'content-length': '1' },
    'x',
  );
  assert.deepEqual([put.status, put.headers['x-ms-error-code']], [403, 'AuthorizationPermissionMismatch']);

  const receiptsNow = async () => json(await ask('GET', '/mooring/v1/file-grants?name=fw/v2.bin')).grants;
  // Written when the reading has ended, which is not before its last byte has left.
  await until('the receipt is there', async () => (await receiptsNow())[0]?.fetched !== null, { everyMs: 50 });
  const receipts = await receiptsNow();
  assert.equal(receipts.length, 1);
  const [{ deviceId, grantedBy, fetched }] = receipts;
  assert.deepEqual([deviceId, grantedBy, fetched.bytes, fetched.sentBytes], ['d1', 'service', 300_000, 300_000]);
  assert.ok(fetched.completedTimeUtc !== null);
  assert.deepEqual(json(await ask('GET', '/mooring/v1/file-grants?deviceId=d1')).grants, receipts);

  assert.equal((await ask('DELETE', `/mooring/v1/file-grants/${mine.id}`)).status, 204);
  assert.equal((await request(hub, 'GET', url.pathname + url.search, {})).status, 403);
  assert.equal((await d1.ask('GET', '/files/fw/v2.bin')).status, 404);
});

test('a device that breaks off goes on where it was, and its receipt says until where it came', async () => {
  await using hub = await startHub();
  const ask = await backEndOf(hub);
  const device = await fileDevice(hub, 'd1');
  const large = randomBytes(24 * 1024 * 1024);
  assert.equal((await ask('PUT', '/mooring/v1/files/big', { body: large })).status, 201);
  const body = { name: 'big', devices: [{ deviceId: 'd1' }], expiresInSeconds: 600 };
  const [{ url }] = json(await ask('POST', '/mooring/v1/file-grants', { body })).grants;
  const { pathname, search } = new URL(url);
  const got = await broken(hub, pathname + search, 3_000_000);
  const sent = async () => json(await ask('GET', '/mooring/v1/file-grants?deviceId=d1')).grants[0].fetched;
  let before = await sent();
  for (let tries = 0; before === null && tries < 200; tries++) {
    await new Promise((resolve) => setTimeout(resolve, 25));
    before = await sent();
  }
  assert.equal(before.completedTimeUtc, null);
  assert.ok(before.sentBytes < large.length, `${before.sentBytes} of ${large.length} were sent`);
  const rest = await device.ask('GET', '/files/big', undefined);
  assert.equal(rest.body.length, large.length);
  const range = { range: `bytes=${got.length}-` };
  const again = await request(hub, 'GET', pathname + search, range);
  assert.equal(again.status, 206);
  assert.ok(Buffer.concat([got, again.body]).equals(large));
  assert.ok((await sent()).completedTimeUtc !== null);
});

/** Reads so many bytes, then cuts the connection. */
function broken(hub: TestHub, path: string, count: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const pieces: Buffer[] = [];
    const options = { host: 'localhost', port: hub.endpoints.ports.https ?? 0, path, ca: hub.ca, agent: false };
    const sent = https.get(options, (answer) => {
      answer.on('error', () => {});
      answer.on('data', (piece: Buffer) => {
        pieces.push(piece);
        if (pieces.reduce((sum, { length }) => sum + length, 0) < count) return;
        answer.destroy();
        resolve(Buffer.concat(pieces));
      });
    });
    sent.on('error', reject);
  });
}

test('files of a device: put for it, listed by page, read by the back end, fetched by the device', async () => {
  await using hub = await startHub();
  const ask = await backEndOf(hub);
  const device = await fileDevice(hub, 'd1');
  for (const name of ['a', 'b c', 'c']) {
    const path = `/mooring/v1/devices/d1/files/${encodeURIComponent(name)}`;
    assert.equal((await ask('PUT', path, { body: Buffer.from(name) })).status, 201);
  }
  const page = json(await ask('GET', '/mooring/v1/devices/d1/files?limit=2'));
  assert.deepEqual([page.files.map(({ name }: { name: string }) => name), page.next], [['a', 'b c'], 'b c']);
  const rest = json(await ask('GET', '/mooring/v1/devices/d1/files?limit=2&after=b%20c'));
  assert.deepEqual([rest.files.length, rest.files[0].name, rest.next], [1, 'c', undefined]);
  assert.equal((await device.ask('GET', '/files/b%20c')).body.toString(), 'b c');
  assert.equal((await ask('GET', '/mooring/v1/devices/d1/files/c')).body.toString(), 'c');
  assert.equal((await ask('DELETE', '/mooring/v1/devices/d1/files/c')).status, 204);
  assert.equal((await ask('DELETE', '/mooring/v1/devices/d1/files/c')).status, 404);
  assert.equal((await device.ask('GET', '/files/c')).status, 404);
  assert.equal((await ask('PUT', '/mooring/v1/devices/none/files/x', { body: Buffer.from('x') })).status, 404);
  const outside = await ask('PUT', '/mooring/v1/devices/d1/files/..%2Fd2%2Fx', { body: Buffer.from('x') });
  assert.equal(outside.status, 400);
  const range = await device.ask('GET', '/files/a', undefined);
  assert.equal(range.status, 200);
});

test('deleting a device ends its grants; a request of a thousand devices is one of many', async () => {
  await using hub = await startHub();
  const ask = await backEndOf(hub);
  await fileDevice(hub, 'd1');
  await ask('PUT', '/mooring/v1/files/x', { body: Buffer.from('x') });
  const grant = async (devices: object[]) =>
    ask('POST', '/mooring/v1/file-grants', { body: { name: 'x', devices, expiresInSeconds: 60 } });
  const [{ url }] = json(await grant([{ deviceId: 'd1' }])).grants;
  const { pathname, search } = new URL(url);
  assert.equal((await request(hub, 'GET', pathname + search, {})).status, 200);
  const api = apiOf(hub);
  await api.devices.delete('d1');
  await api.close();
  assert.equal((await request(hub, 'GET', pathname + search, {})).status, 403);
  const many = Array.from({ length: 1000 }, (_, nth) => ({ deviceId: `none${nth}` }));
  assert.equal((await grant(many)).status, 200);
  assert.equal((await grant([...many, { deviceId: 'x' }])).status, 400);
  assert.equal(
    (await ask('POST', '/mooring/v1/file-grants', { body: { name: 'none', devices: many, expiresInSeconds: 60 } }))
      .status,
    404,
  );
});

test('a back end hears of uploads by REST, under a lock', async () => {
  await using hub = await startHub();
  const ask = await backEndOf(hub);
  const device = await fileDevice(hub, 'd1');
  assert.equal((await ask('GET', '/mooring/v1/file-notifications')).status, 204);
  const ticket = await device.begin('x');
  await device.blob('PUT', ticket, { headers: { 'x-ms-blob-type': 'BlockBlob' }, body: 'abc' });
  const { correlationId } = ticket;
  await device.ask('POST', '/files/notifications?api-version=2021-04-12', { correlationId, isSuccess: true });
  const first = await ask('GET', '/mooring/v1/file-notifications');
  assert.deepEqual([first.status, json(first).blobName, json(first).blobSizeInBytes], [200, 'd1/x', 3]);
  const lock = encodeURIComponent(String(first.headers.etag).replaceAll('"', ''));
  assert.equal((await ask('GET', '/mooring/v1/file-notifications')).status, 204, 'it is locked');
  assert.equal((await ask('POST', `/mooring/v1/file-notifications/${lock}/abandon`)).status, 204);
  const second = await ask('GET', '/mooring/v1/file-notifications');
  const again = encodeURIComponent(String(second.headers.etag).replaceAll('"', ''));
  assert.equal((await ask('DELETE', `/mooring/v1/file-notifications/${lock}`)).status, 412);
  assert.equal((await ask('DELETE', `/mooring/v1/file-notifications/${again}`)).status, 204);
  assert.equal((await ask('GET', '/mooring/v1/file-notifications')).status, 204);
});
