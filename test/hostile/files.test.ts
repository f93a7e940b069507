/** A client with a good signed URL, or with a key, that wants more of the files than it may have. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import tls from 'node:tls';
import { limits } from '../../src/base/limits.ts';
import { apiOf } from '../drivers/api.ts';
import { backEndOf } from '../drivers/back-end.ts';
import { type FileAnswer, type FileDevice, fileDevice, request, type Ticket } from '../drivers/file-device.ts';
import { startHub, type TestHub } from '../drivers/hub.ts';
import { until } from '../drivers/until.ts';

const KIB = 1024;
const asBlob = { 'x-ms-blob-type': 'BlockBlob' };
const idOf = (nth: number): string => Buffer.from(String(nth).padStart(12, '0')).toString('base64');
const asBlock = (id: string): string => `&comp=block&blockid=${encodeURIComponent(id)}`;
const listOf = (ids: readonly string[]): string =>
  `<BlockList>${ids.map((id) => `<Latest>${id}</Latest>`).join('')}</BlockList>`;
const codeOf = ({ status, headers }: FileAnswer): string => `${status} ${headers['x-ms-error-code'] ?? ''}`.trim();
const told = (device: FileDevice, { correlationId }: Ticket, isSuccess: boolean) =>
  device.ask('POST', '/files/notifications?api-version=2020-09-30', { correlationId, isSuccess });
const json = (answer: FileAnswer) => JSON.parse(answer.body.toString());
const staged = (hub: TestHub): number => readdirSync(path.join(hub.dataDir, 'files', '.staging')).length;
/** Files that hold a piece or more of what is not stored yet. */
const largeStaged = (hub: TestHub): number => {
  const folder = path.join(hub.dataDir, 'files', '.staging');
  const sizes = readdirSync(folder, { recursive: true, encoding: 'utf8' }).map(
    (name) => statSync(path.join(folder, name), { throwIfNoEntry: false })?.size ?? 0,
  );
  return sizes.filter((size) => size >= limits.filePieceBytes).length;
};
const urlOf = ({ containerName, blobName, sasToken }: Ticket): string => `/${containerName}/${blobName}${sasToken}`;

/** A request of which the rest is sent later, and what is answered. What `begins` its body goes with its head. */
async function opened(hub: TestHub, line: string, headers: readonly string[], begins = '') {
  const socket = tls.connect({ host: 'localhost', port: hub.endpoints.ports.https ?? 0, ca: hub.ca });
  socket.on('error', () => {});
  await once(socket, 'secureConnect');
  let answer = '';
  socket.on('data', (bytes) => {
    answer += bytes.toString('latin1');
  });
  socket.write([`${line} HTTP/1.1`, 'Host: localhost', ...headers, '', begins].join('\r\n'));
  return {
    socket,
    async answered(): Promise<string> {
      await until('an answer', () => answer.includes('\r\n\r\n') || socket.destroyed);
      const [, status = 'cut off'] = /^HTTP\/1\.1 (\d+)/.exec(answer) ?? [];
      const [, code = ''] = /x-ms-error-code: (\w+)/i.exec(answer) ?? [];
      return `${status} ${code}`.trim();
    },
  };
}

test('many uploads at once do not take more room than their device has', async () => {
  await using hub = await startHub({ args: ['--file-bytes-per-device-max', '1MiB', '--file-bytes-max', '1MiB'] });
  const device = await fileDevice(hub, 'd1');
  const tickets = await Promise.all(Array.from({ length: 8 }, (_, nth) => device.begin(`f${nth}`)));
  const bytes = 400 * KIB;
  const isStated = (nth: number): boolean => nth % 2 === 0;
  // All are begun before any has come.
  const uploads = await Promise.all(
    tickets.map((ticket, nth) =>
      opened(hub, `PUT ${urlOf(ticket)}`, [
        'x-ms-blob-type: BlockBlob',
        isStated(nth) ? `Content-Length: ${bytes}` : 'Transfer-Encoding: chunked',
      ]),
    ),
  );
  for (const [nth, { socket }] of uploads.entries()) {
    if (!isStated(nth)) socket.write(`${bytes.toString(16)}\r\n`);
    socket.write(Buffer.alloc(bytes - 1));
  }
  await sleep(300);
  for (const [nth, { socket }] of uploads.entries()) {
    socket.write(Buffer.alloc(1));
    if (!isStated(nth)) socket.write('\r\n0\r\n\r\n');
  }
  const answers = await Promise.all(uploads.map((upload) => upload.answered()));
  for (const { socket } of uploads) socket.destroy();
  assert.deepEqual(
    [...new Set(answers)].filter((answer) => answer !== '201'),
    ['403 QuotaExceeded'],
  );
  const ask = await backEndOf(hub);
  const { files } = json(await ask('GET', '/mooring/v1/devices/d1/files'));
  assert.ok(files.length > 0 && files.length <= 2, `${files.length} files of 400 KiB in 1 MiB`);
  // What was refused has given its room back.
  const rest = 1024 * KIB - files.length * bytes;
  const ticket = await device.begin('rest').catch(async () => {
    await told(device, tickets[0], false);
    return device.begin('rest');
  });
  const put = await device.blob('PUT', ticket, { headers: asBlob, body: Buffer.alloc(rest) });
  assert.equal(codeOf(put), '201');
});

test('an upload that is ended, disabled or deleted while it comes is not stored', async () => {
  await using hub = await startHub({ args: ['--files-deleted-with-device', 'on'] });
  const ask = await backEndOf(hub);
  const api = apiOf(hub);
  // More than one piece: the first is written before the last has come.
  const bytes = limits.filePieceBytes + 100 * KIB;
  const endings: Readonly<Record<string, (device: FileDevice, ticket: Ticket) => Promise<unknown>>> = {
    ended: (device, ticket) => told(device, ticket, true),
    disabled: () => api.devices.update('disabled', { status: 'disabled' }),
    deleted: async () => {
      await api.devices.delete('deleted');
      await fileDevice(hub, 'deleted');
    },
  };
  for (const [deviceId, end] of Object.entries(endings)) {
    const device = await fileDevice(hub, deviceId);
    const ticket = await device.begin('x');
    assert.equal(codeOf(await device.blob('PUT', ticket, { headers: asBlob, body: 'before' })), '201');
    assert.equal(codeOf(await device.blob('PUT', ticket, { query: asBlock(idOf(0)), body: 'block' })), '201');
    const before = largeStaged(hub);
    const whole = await opened(hub, `PUT ${urlOf(ticket)}`, ['x-ms-blob-type: BlockBlob', `Content-Length: ${bytes}`]);
    const block = await opened(hub, `PUT ${urlOf(ticket)}${asBlock(idOf(1))}`, [`Content-Length: ${bytes}`]);
    const text = listOf([idOf(0)]);
    const list = await opened(hub, `PUT ${urlOf(ticket)}&comp=blocklist`, [`Content-Length: ${text.length}`]);
    for (const { socket } of [whole, block]) socket.write(Buffer.alloc(bytes - 1));
    list.socket.write(text.slice(0, -1));
    await until('pieces of both are on the disk', () => largeStaged(hub) === before + 2);
    await end(device, ticket);
    for (const { socket } of [whole, block]) socket.write('x');
    list.socket.write('>');
    for (const each of [whole, block, list]) {
      assert.equal(await each.answered(), '403 AuthenticationFailed', deviceId);
      each.socket.destroy();
    }
    const { files } = json(await ask('GET', `/mooring/v1/devices/${deviceId}/files`));
    assert.deepEqual(
      files.map((file: { bytes: number }) => file.bytes),
      deviceId === 'deleted' ? [] : [6],
      deviceId,
    );
  }
  await api.close();
});

test('a download ends soon after its grant was taken back, or its device disabled', async () => {
  await using hub = await startHub({ args: ['--file-bytes-per-second-per-device', '64KiB'] });
  const ask = await backEndOf(hub);
  const api = apiOf(hub);
  await ask('PUT', '/mooring/v1/files/fw', { body: randomBytes(4096 * KIB) });
  const ends = {
    revoked: (id: string) => ask('DELETE', `/mooring/v1/file-grants/${id}`),
    disabled: () => api.devices.update('disabled', { status: 'disabled' }),
  };
  await Promise.all(
    Object.entries(ends).map(async ([deviceId, end]) => {
      await fileDevice(hub, deviceId);
      const body = { name: 'fw', devices: [{ deviceId }], expiresInSeconds: 600 };
      const [{ id, url }] = json(await ask('POST', '/mooring/v1/file-grants', { body })).grants;
      const { pathname, search } = new URL(url);
      const { socket } = await opened(hub, `GET ${pathname}${search}`, []);
      // The whole would take a minute.
      await once(socket, 'data');
      const begun = performance.now();
      await end(id);
      await once(socket, 'close');
      const tookMs = performance.now() - begun;
      assert.ok(tookMs < 6 * limits.fileMayGoOnMs, `${deviceId}: ${tookMs} ms`);
    }),
  );
  await api.close();
});

test('of many who want to be the first, or to change one version, one is', async () => {
  await using hub = await startHub();
  const device = await fileDevice(hub, 'd1');
  const ticket = await device.begin('x');
  const race = (headers: Readonly<Record<string, string>>) =>
    Promise.all(
      Array.from({ length: 8 }, (_, nth) =>
        device.blob('PUT', ticket, { headers: { ...asBlob, ...headers }, body: `${nth}`.repeat(1000) }),
      ),
    );
  const first = await race({ 'if-none-match': '*' });
  assert.deepEqual(first.map(codeOf).toSorted(), ['201', ...Array(7).fill('409 BlobAlreadyExists')]);
  const etag = String(first.find(({ status }) => status === 201)?.headers.etag);
  const second = await race({ 'if-match': etag });
  assert.deepEqual(second.map(codeOf).toSorted(), ['201', ...Array(7).fill('412 ConditionNotMet')]);
  const winner = second.findIndex(({ status }) => status === 201);
  assert.equal((await device.blob('GET', ticket)).body.toString(), `${winner}`.repeat(1000));

  // A file that has changed is not gone on with, looked at or removed for another.
  for (const method of ['GET', 'HEAD', 'DELETE']) {
    const answer = await device.blob(method, ticket, { headers: { 'if-match': etag } });
    assert.equal(codeOf(answer), '412 ConditionNotMet', method);
  }
  const ask = await backEndOf(hub);
  const change = { headers: { 'if-match': etag } };
  assert.equal((await ask('DELETE', '/mooring/v1/devices/d1/files/x', change)).status, 412);
  assert.equal((await ask('GET', '/mooring/v1/devices/d1/files/x', change)).status, 412);
  const now = { headers: { 'if-match': String(second[winner].headers.etag) } };
  assert.equal((await ask('GET', '/mooring/v1/devices/d1/files/x', now)).status, 200);
  assert.equal((await ask('DELETE', '/mooring/v1/devices/d1/files/x', now)).status, 204);
});

test('lists and blocks of one file at once: what is there is what one of the lists says', async () => {
  await using hub = await startHub();
  const device = await fileDevice(hub, 'd1');
  const blocks = Array.from({ length: 6 }, (_, nth) => Buffer.alloc(64 * KIB, 65 + nth));
  for (let round = 0; round < 5; round++) {
    const ticket = await device.begin(`f${round}`);
    for (const [nth, body] of blocks.entries()) {
      assert.equal(codeOf(await device.blob('PUT', ticket, { query: asBlock(idOf(nth)), body })), '201');
    }
    const lists = [
      [0, 1, 2, 3, 4, 5],
      [5, 3, 1],
    ];
    const [committed] = await Promise.all([
      Promise.all(
        lists.map((list) => device.blob('PUT', ticket, { query: '&comp=blocklist', body: listOf(list.map(idOf)) })),
      ),
      device.blob('PUT', ticket, { query: asBlock(idOf(3)), body: blocks[0] }),
      device.blob('GET', ticket),
    ]);
    const codes = committed.map(codeOf);
    assert.ok(codes.includes('201') && codes.every((code) => code === '201' || code === '400 InvalidBlockList'));
    const { body } = await device.blob('GET', ticket);
    // Block 3 may be the one that came meanwhile.
    const meant = lists.flatMap((list) =>
      [blocks[3], blocks[0]].map((third) => Buffer.concat(list.map((nth) => (nth === 3 ? third : blocks[nth])))),
    );
    assert.ok(
      meant.some((each) => each.equals(body)),
      'it is one of them',
    );
    await told(device, ticket, true);
  }
});

test('a signed URL in another spelling, with a part of another, or beyond its numbers opens nothing', async () => {
  await using hub = await startHub();
  const [device, other] = [await fileDevice(hub, 'd1'), await fileDevice(hub, 'D1')];
  const ticket = await device.begin('a/b');
  assert.equal(codeOf(await device.blob('PUT', ticket, { headers: asBlob, body: 'content' })), '201');
  const get = (target: string, headers: Readonly<Record<string, string>> = {}) => request(hub, 'GET', target, headers);
  const sas = ticket.sasToken;
  const spellings = [
    `/hub-files/d1%252Fa%252Fb${sas}`,
    `/hub-files/d1/a/./b${sas}`,
    `/hub-files/d1/a/%2e%2e/a/b${sas}`,
    `/hub-files/d1//a/b${sas}`,
    `/hub-files/D1/a/b${sas}`,
    `/hub-files/d1/a/b%00${sas}`,
    `/hub-files/d1/a/b%0Arw${sas}`,
    `/hub-files/d1/a/b/${sas}`,
    `/hub-files/d1/a/b${sas}&sig=${new URLSearchParams(sas).get('sig')}`,
    `/hub-files/d1/a/b${sas.replace('sp=rw', 'sp=r')}`,
    `/hub-files/d1/a/b${sas.replace('sp=rw', 'sp=rw%0A')}`,
    `/hub-files/d1/a/b${sas.replace(/se=[^&]+/, 'se=9999-12-31T23%3A59%3A59Z')}`,
    `/hub-files/d1/a/b${sas.replace(/\.[^.]*$/, '.')}`,
    `/hub-files/d1/a/b${sas.slice(0, -1)}`,
    `/hub-files/d1/a/b${(await other.begin('a/b')).sasToken}`,
    '/hub-files/d1/a/b',
    '/hub-files/%ff/a',
    '/hub-files/',
  ];
  for (const target of spellings) {
    const answer = await get(target);
    assert.ok(answer.status === 403 || answer.status === 400, `${target}: ${answer.status}`);
    assert.ok(!answer.body.includes('content'));
  }
  assert.equal((await get(`/hub-files/d1%2Fa%2Fb${sas}`)).body.toString(), 'content');

  // Ranges: what cannot be read is none, what lies behind the end is refused.
  const ranges: Readonly<Record<string, string>> = {
    'bytes=0-999999999999999': '206',
    'bytes=0-99999999999999999999': '200',
    'bytes=18446744073709551615-': '200',
    'bytes=7-': '416 InvalidRange',
    'bytes=5-2': '416 InvalidRange',
    'bytes=-0': '416 InvalidRange',
    'bytes=-999999999999999': '206',
    'bytes=0-0,2-3': '200',
    'bytes=0x0-1': '200',
    'blocks=0-1': '200',
  };
  for (const [range, expected] of Object.entries(ranges)) {
    const answer = await get(`/hub-files/d1/a/b${sas}`, { range });
    assert.equal(codeOf(answer), expected, range);
    if (answer.status < 300) assert.equal(answer.headers['content-length'], String(answer.body.length), range);
  }
});

test('uploads that are refused count as requests while their clients still send; one that waits to be let in may ask in any words', async () => {
  await using hub = await startHub();
  const device = await fileDevice(hub, 'd1');
  const ticket = await device.begin('x');
  const refused = () => opened(hub, `PUT ${urlOf(ticket)}`, ['x-ms-blob-type: PageBlob', 'Content-Length: 1000']);
  const all = await Promise.all(Array.from({ length: limits.httpRequestsPerDeviceMax }, refused));
  for (const each of all) assert.equal(await each.answered(), '400 InvalidHeaderValue');
  assert.equal(codeOf(await device.blob('GET', ticket)), '503 ServerBusy');
  for (const { socket } of all) socket.write(Buffer.alloc(1000));
  await until('they count no longer', async () => codeOf(await device.blob('GET', ticket)) === '404 BlobNotFound');
  for (const { socket } of all) socket.destroy();

  const wait = ['x-ms-blob-type: BlockBlob', 'Content-Length: 1', 'Expect: 100-continue, x'];
  const { socket, answered } = await opened(hub, `PUT ${urlOf(ticket)}`, wait);
  assert.equal(await answered(), '100');
  socket.destroy();
});

test('a length, a sum or a block id that lies is refused, and leaves nothing', async () => {
  await using hub = await startHub();
  const device = await fileDevice(hub, 'd1');
  const ticket = await device.begin('x');
  const line = `PUT ${urlOf(ticket)}`;
  const raw = async (headers: readonly string[], body: string, query = ''): Promise<string> => {
    // In one piece: bytes behind an answer that ends the connection would take it from us.
    const each = await opened(hub, line + query, ['x-ms-blob-type: BlockBlob', ...headers], body);
    const answer = await each.answered();
    each.socket.destroy();
    return answer;
  };
  assert.equal(await raw(['Content-Length: 5', 'Transfer-Encoding: chunked'], '5\r\nhello\r\n0\r\n\r\n'), '400');
  assert.equal(await raw(['Content-Length: 5', 'Content-Length: 6'], 'hello!'), '400');
  assert.equal(await raw(['Content-Length: -5'], 'hello'), '400');
  assert.equal(await raw(['Content-Length: 99999999999999999999'], 'hello'), '400');
  assert.equal(await raw(['Content-Length: 9007199254740991'], 'hello'), '413 RequestBodyTooLarge');
  assert.equal(await raw(['Transfer-Encoding: chunked'], '5\r\nhello\r\nzz\r\n'), '400');
  assert.equal(
    await raw(['Transfer-Encoding: chunked'], '1\r\nx\r\n0\r\n\r\n', asBlock(idOf(0))),
    '411 MissingContentLengthHeader',
  );
  const md5 = createHash('md5').update('hello').digest('base64');
  const odd = (sum: string, name = 'content-md5') =>
    device.blob('PUT', ticket, { headers: { ...asBlob, [name]: sum }, body: 'hello' });
  // Two texts decode to the same bytes; one of them is what is sent back.
  assert.equal(
    codeOf(await device.blob('PUT', ticket, { query: asBlock(idOf(0)), body: '' })),
    '400 InvalidHeaderValue',
  );
  const twin = `${md5.slice(0, -3)}${String.fromCharCode(md5.charCodeAt(md5.length - 3) + 1)}==`;
  assert.equal(codeOf(await odd(twin)), '400 InvalidHeaderValue');
  assert.equal(codeOf(await odd(`${md5}é`, 'x-ms-blob-content-md5')), '400 InvalidHeaderValue');
  for (const id of ['', 'a', 'a===', '....', `${'A'.repeat(88)}AAAA`, 'AA%0AA', '../../x=']) {
    const answer = await device.blob('PUT', ticket, { query: `&comp=block&blockid=${id}`, body: 'x' });
    assert.equal(codeOf(answer), '400 InvalidQueryParameterValue', id);
  }
  assert.equal(codeOf(await device.blob('GET', ticket)), '404 BlobNotFound');
  assert.equal(staged(hub), 0);
  assert.equal(codeOf(await odd(md5)), '201');
});
