/** Files of devices over a running hub's HTTPS port: the upload of each SDK, the blob endpoint's statuses, its refusals. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { apiOf } from '../drivers/api.ts';
import { type FileAnswer, type FileDevice, fileDevice, request, type Ticket } from '../drivers/file-device.ts';
import { startHub } from '../drivers/hub.ts';

const asBlob = { 'x-ms-blob-type': 'BlockBlob' };
const blockId = (nth: number): string => Buffer.from(`0a5f${String(nth).padStart(12, '0')}`).toString('base64');
const comp = (nth: number): string => `&comp=block&blockid=${encodeURIComponent(blockId(nth))}`;
const listOf = (ids: readonly string[]): string =>
  `<?xml version="1.0" encoding="UTF-8" standalone="yes"?><BlockList>${ids.map((id) => `<Latest>${id}</Latest>`).join('')}</BlockList>`;
const done = (device: FileDevice, { correlationId }: Ticket, isSuccess = true) =>
  device.ask('POST', `/files/notifications?api-version=2020-09-30`, {
    correlationId,
    isSuccess,
    statusCode: 200,
    statusDescription: 'done',
  });
const refused = (answer: FileAnswer, status: number, code: string): void => {
  assert.deepEqual([answer.status, answer.headers['x-ms-error-code']], [status, code], answer.body.toString());
  if (answer.body.length > 0) assert.match(answer.body.toString(), new RegExp(`<Code>${code}</Code>`));
};

test('a file in one piece: put, told, read back by the device, a plain file for the operator', async () => {
  await using hub = await startHub();
  const device = await fileDevice(hub, 'd1');
  const ticket = await device.begin('logs/today one.txt');
  assert.equal(ticket.containerName, 'hub-files');
  assert.equal(ticket.blobName, 'd1/logs/today one.txt');
  assert.match(ticket.sasToken, /^\?sv=/);
  const bytes = randomBytes(100_000);
  const md5 = createHash('md5').update(bytes).digest('base64');
  const headers = {
    ...asBlob,
    'content-type': 'text/plain',
    'x-ms-blob-content-md5': md5,
    'if-none-match': '*',
    'x-ms-version': '2026-10-06',
  };
  const put = await device.blob('PUT', ticket, { headers, body: bytes });
  assert.equal(put.status, 201, put.body.toString());
  assert.equal(put.body.length, 0);
  assert.equal(put.headers['content-md5'], md5);
  assert.equal(put.headers['x-ms-version'], '2026-10-06');
  assert.match(String(put.headers.etag), /^"0x8D/);
  refused(await device.blob('PUT', ticket, { headers, body: bytes }), 409, 'BlobAlreadyExists');

  const got = await device.blob('GET', ticket);
  assert.deepEqual([got.status, got.headers['content-type'], got.headers.etag], [200, 'text/plain', put.headers.etag]);
  assert.deepEqual(got.body, bytes);
  const part = await device.blob('GET', ticket, { headers: { range: 'bytes=10-19' } });
  assert.deepEqual([part.status, part.headers['content-range']], [206, 'bytes 10-19/100000']);
  assert.deepEqual(part.body, bytes.subarray(10, 20));
  const rest = await device.blob('GET', ticket, { headers: { 'x-ms-range': 'bytes=99990-' } });
  assert.deepEqual(rest.body, bytes.subarray(99_990));
  refused(await device.blob('GET', ticket, { headers: { range: 'bytes=100000-' } }), 416, 'InvalidRange');
  const same = await device.blob('GET', ticket, { headers: { 'if-none-match': String(put.headers.etag) } });
  assert.equal(same.status, 304);
  const head = await device.blob('HEAD', ticket);
  assert.deepEqual([head.status, head.headers['content-length'], head.body.length], [200, '100000', 0]);

  assert.deepEqual(readFileSync(path.join(hub.dataDir, 'files', 'd1', 'logs%2Ftoday%20one.txt')), bytes);
  assert.equal((await done(device, ticket)).status, 204);
  assert.equal((await done(device, ticket)).status, 204, 'saying it again changes nothing');
  refused(await device.blob('GET', ticket), 403, 'AuthenticationFailed');
});

test('blocks in any order, the list decides; C sends no headers and encodes the slash', async () => {
  await using hub = await startHub();
  const device = await fileDevice(hub, 'd1');
  const ticket = await device.begin('big.bin');
  const blocks = Array.from({ length: 5 }, (_, nth) => randomBytes(nth === 4 ? 11 : 64 * 1024));
  const order = [3, 0, 4, 1, 2];
  const staged = await Promise.all(
    order.map((nth) => device.blob('PUT', ticket, { query: comp(nth), body: blocks[nth] })),
  );
  assert.deepEqual(
    staged.map(({ status }) => status),
    [201, 201, 201, 201, 201],
  );
  refused(await device.blob('GET', ticket), 404, 'BlobNotFound');
  const encoded = { ...ticket, blobName: ticket.blobName.replace('/', '%2F') };
  const url = `/${encoded.containerName}/${encoded.blobName}${encoded.sasToken}&comp=blocklist`;
  const body = listOf(blocks.map((_, nth) => blockId(nth)));
  const listed = await request(hub, 'PUT', url, { 'content-length': String(body.length) }, body);
  assert.equal(listed.status, 201, listed.body.toString());
  assert.deepEqual((await device.blob('GET', ticket)).body, Buffer.concat(blocks));
  assert.equal((await done(device, ticket)).status, 204);
});

test('blanks and pluses of a name may come as Java writes them: each URL opens its own file', async () => {
  await using hub = await startHub();
  const device = await fileDevice(hub, 'd1');
  const blank = await device.begin('a b');
  const plus = await device.begin('a+b');
  const put = ({ containerName, sasToken }: Ticket, name: string, body: string) =>
    request(
      hub,
      'PUT',
      `/${containerName}/d1%2F${name}${sasToken}`,
      { ...asBlob, 'content-length': String(body.length) },
      body,
    );
  assert.equal((await put(blank, 'a+b', 'of the blank')).status, 201);
  assert.equal((await put(plus, 'a%2Bb', 'of the plus')).status, 201);
  const both = await device.begin('a b+c');
  assert.equal((await put(both, 'a+b+c', 'of both')).status, 201, 'the %2B of an SDK, decoded by a storage library');
  refused(await put(plus, 'a-b', 'x'), 403, 'AuthenticationFailed');
  assert.equal((await device.blob('GET', blank)).body.toString(), 'of the blank');
  assert.equal((await device.blob('GET', plus)).body.toString(), 'of the plus');
  assert.equal((await device.blob('GET', both)).body.toString(), 'of both');
  assert.deepEqual(readdirSync(path.join(hub.dataDir, 'files', 'd1')).sort(), [
    '.facts',
    'a%20b',
    'a%20b%2Bc',
    'a%2Bb',
  ]);
});

test('what a storage library may get wrong is refused as the storage service does it', async () => {
  await using hub = await startHub({ args: ['--file-bytes-max', '1MiB'] });
  const device = await fileDevice(hub, 'd1');
  const ticket = await device.begin('x');
  const put = (headers: Record<string, string>, body: Buffer | string = 'abc') =>
    device.blob('PUT', ticket, { headers, body });
  refused(await put({}), 400, 'MissingRequiredHeader');
  refused(await put({ 'x-ms-blob-type': 'PageBlob' }), 400, 'InvalidHeaderValue');
  refused(await put({ ...asBlob, 'content-md5': 'short' }), 400, 'InvalidHeaderValue');
  refused(await put({ ...asBlob, 'content-md5': Buffer.alloc(16).toString('base64') }), 400, 'Md5Mismatch');
  refused(await put({ ...asBlob, 'if-match': '"0x8D1"' }), 412, 'ConditionNotMet');
  refused(await put(asBlob, Buffer.alloc(1024 * 1024 + 1)), 413, 'RequestBodyTooLarge');
  refused(
    await device.blob('PUT', ticket, { query: '&comp=block&blockid=!!', body: 'a' }),
    400,
    'InvalidQueryParameterValue',
  );
  refused(
    await device.blob('PUT', ticket, { query: '&comp=blocklist', body: listOf([blockId(7)]) }),
    400,
    'InvalidBlockList',
  );
  refused(
    await device.blob('PUT', ticket, { query: '&comp=blocklist', body: '<BlockList><Latest>' }),
    400,
    'InvalidXmlDocument',
  );
  refused(await device.blob('PUT', ticket, { query: '&comp=lease', body: 'a' }), 400, 'InvalidQueryParameterValue');
  refused(await device.blob('POST', ticket, { body: 'a' }), 405, 'UnsupportedHttpVerb');
  assert.equal((await device.blob('PUT', ticket, { query: comp(1), body: 'a' })).status, 201);
  const long = `&comp=block&blockid=${encodeURIComponent(Buffer.from('another length').toString('base64'))}`;
  refused(await device.blob('PUT', ticket, { query: long, body: 'a' }), 400, 'InvalidBlobOrBlock');
  refused(await device.blob('GET', ticket), 404, 'BlobNotFound');
  assert.equal((await done(device, ticket)).status, 400, 'nothing was uploaded');
});

test('a client that is in the middle of sending a large file which is refused reads why', async () => {
  await using hub = await startHub({ args: ['--file-bytes-max', '1MiB'] });
  const device = await fileDevice(hub, 'd1');
  const ticket = await device.begin('x');
  const body = Buffer.alloc(32 * 1024 * 1024);
  for (let round = 0; round < 4; round++) {
    const answers = Array.from({ length: 8 }, (_, nth) => {
      const length: Record<string, string> = nth % 2 === 0 ? {} : { 'transfer-encoding': 'chunked' };
      return device.blob('PUT', ticket, { headers: { ...asBlob, ...length }, body });
    });
    for (const answer of await Promise.all(answers)) refused(answer, 413, 'RequestBodyTooLarge');
  }
});

test('a refusal says whether its connection is cut: it is where the client has much more to send', async () => {
  await using hub = await startHub({ args: ['--file-bytes-max', '1MiB'] });
  const device = await fileDevice(hub, 'd1');
  const ticket = await device.begin('x');
  const [KIB, MIB] = [1024, 1024 * 1024];
  const said = async (which: Ticket, bytes: number, more: Record<string, string> = {}) => {
    const headers = { ...asBlob, connection: 'keep-alive', ...more };
    const answer = await device.blob('PUT', which, { headers, body: Buffer.alloc(bytes) });
    return `${answer.status} ${answer.headers.connection}`;
  };
  assert.equal(await said(ticket, 2 * MIB), '413 keep-alive');
  assert.equal(await said(ticket, 9 * MIB), '413 close');
  assert.equal(await said(ticket, 9 * MIB, { 'transfer-encoding': 'chunked' }), '413 close');
  // Who has shown no good URL has less of it read.
  const wrong = { ...ticket, sasToken: `${ticket.sasToken}x` };
  assert.equal(await said(wrong, 200 * KIB), '403 keep-alive');
  assert.equal(await said(wrong, 2 * MIB), '403 close');
});

test('a signed URL opens one file of one device, for one upload', async () => {
  await using hub = await startHub();
  const device = await fileDevice(hub, 'd1');
  const other = await fileDevice(hub, 'd2');
  const ticket = await device.begin('x');
  const foreign = await other.begin('x');
  const put = (changed: Partial<Ticket>) =>
    device.blob('PUT', { ...ticket, ...changed }, { headers: asBlob, body: 'abc' });
  refused(await put({ blobName: 'd2/x' }), 403, 'AuthenticationFailed');
  refused(await put({ blobName: 'd1/y' }), 403, 'AuthenticationFailed');
  refused(await put({ blobName: 'd1/../d2/x' }), 403, 'AuthenticationFailed');
  refused(await put({ sasToken: foreign.sasToken }), 403, 'AuthenticationFailed');
  refused(await put({ sasToken: ticket.sasToken.replace('sp=rw', 'sp=rwdl') }), 403, 'AuthenticationFailed');
  refused(await put({ sasToken: '' }), 403, 'AuthenticationFailed');
  // Longer than a signed URL is, with all that libraries add: its parameters are not taken apart.
  refused(await put({ sasToken: `${ticket.sasToken}&rest=${'x'.repeat(2048)}` }), 400, 'InvalidUri');
  assert.equal((await put({})).status, 201);
  assert.equal((await done(other, ticket)).status, 400, 'another device cannot end it');
  assert.equal((await done(device, ticket, false)).status, 204);
  refused(await put({}), 403, 'AuthenticationFailed');

  // An identity that is disabled or deleted has no signed URLs any more.
  const api = apiOf(hub);
  const again = await device.begin('z');
  await api.devices.update('d1', { status: 'disabled' });
  refused(await device.blob('PUT', again, { headers: asBlob, body: 'abc' }), 403, 'AuthenticationFailed');
  await api.devices.update('d1', { status: 'enabled' });
  assert.equal((await device.blob('PUT', again, { headers: asBlob, body: 'abc' })).status, 201);
  await api.devices.delete('d1');
  refused(await device.blob('GET', again), 403, 'AuthenticationFailed');
  await fileDevice(hub, 'd1');
  refused(await device.blob('GET', again), 403, 'AuthenticationFailed');
  assert.ok(existsSync(path.join(hub.dataDir, 'files', 'd1', 'z')), 'the file itself stays for the operator');
  await api.close();
});

test('ten uploads of one device may be open; names that lead elsewhere are refused', async () => {
  await using hub = await startHub();
  const device = await fileDevice(hub, 'd1');
  for (const blobName of ['', '../d2/x', 'a/../../x', 'a//b', 'x'.repeat(1025), '$modules/m/x']) {
    const answer = await device.ask('POST', '/files/?api-version=2016-11-14', { blobName });
    assert.equal(answer.status, 400, `${blobName}: ${answer.body}`);
  }
  const open: Ticket[] = [];
  for (let nth = 0; nth < 10; nth++) open.push(await device.begin(`f${nth}`));
  const eleventh = await device.ask('POST', '/files?api-version=2021-04-12', { blobName: 'f10' });
  assert.equal(eleventh.status, 403);
  assert.equal(eleventh.headers['iothub-errorcode'], 'DeviceMaximumActiveFileUploadLimitExceeded');
  const path = `/files/notifications/${encodeURIComponent(open[0].correlationId)}?api-version=2021-04-12`;
  const ended = await device.ask('POST', path, { isSuccess: false, statusCode: 500, statusDescription: '' });
  assert.equal(ended.status, 204);
  await device.begin('f10');
});

test('a module has its own part; blocks outlive a kill, and what was acknowledged is there', async () => {
  let hub = await startHub();
  try {
    await fileDevice(hub, 'd1');
    const module = await fileDevice(hub, 'd1', 'm1');
    const whole = await module.begin('whole.bin');
    assert.equal(whole.blobName, 'd1/$modules/m1/whole.bin');
    const bytes = randomBytes(200_000);
    assert.equal((await module.blob('PUT', whole, { headers: asBlob, body: bytes })).status, 201);
    const ticket = await module.begin('blocks.bin');
    const blocks = [randomBytes(50_000), randomBytes(50_000)];
    assert.equal((await module.blob('PUT', ticket, { query: comp(0), body: blocks[0] })).status, 201);
    await hub.kill();
    hub = await hub.restart();
    const again = { ...hub };
    assert.equal((await module.blob('PUT', ticket, { query: comp(1), body: blocks[1] })).status, 201);
    const list = listOf([blockId(0), blockId(1)]);
    assert.equal((await module.blob('PUT', ticket, { query: '&comp=blocklist', body: list })).status, 201);
    assert.deepEqual((await module.blob('GET', ticket)).body, Buffer.concat(blocks));
    assert.deepEqual((await module.blob('GET', whole)).body, bytes);
    assert.deepEqual(readdirSync(path.join(again.dataDir, 'files', '.staging')), []);
  } finally {
    await hub[Symbol.asyncDispose]();
  }
});

test('a hub that keeps no files says so', async () => {
  await using hub = await startHub({ args: ['--files-store', 'off'] });
  const device = await fileDevice(hub, 'd1');
  const answer = await device.ask('POST', '/files?api-version=2021-04-12', { blobName: 'x' });
  assert.equal(answer.status, 400);
  assert.equal(answer.headers['iothub-errorcode'], 'DefaultStorageEndpointNotConfigured');
});

test('uploads and downloads are slowed down to the cap of their device, and not refused', async () => {
  const rate = 128 * 1024;
  await using hub = await startHub({ args: ['--file-bytes-per-second-per-device', '128KiB'] });
  const device = await fileDevice(hub, 'd1');
  const ticket = await device.begin('x');
  const body = randomBytes(4 * rate);
  const timed = async <Result>(work: Promise<Result>): Promise<readonly [Result, number]> => {
    const start = performance.now();
    return [await work, performance.now() - start];
  };
  // A second's worth may come at once. Slower than this any machine may be.
  const [put, putMs] = await timed(device.blob('PUT', ticket, { headers: asBlob, body }));
  assert.equal(put.status, 201);
  assert.ok(putMs > 2500, `${putMs} ms`);
  const [got, getMs] = await timed(device.blob('GET', ticket));
  assert.deepEqual(got.body, body);
  assert.ok(getMs > 2500, `${getMs} ms`);
});
