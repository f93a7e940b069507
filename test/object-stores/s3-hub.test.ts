/** A hub whose files are in S3: what devices and back ends see of it, also when the store or the hub breaks off. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { backEndOf } from '../drivers/back-end.ts';
import { FaultyLink } from '../drivers/faulty-link.ts';
import { type FileAnswer, type FileDevice, fileDevice, type Ticket } from '../drivers/file-device.ts';
import { runMooring, startHub, type TestHub } from '../drivers/hub.ts';
import { type LoopbackCertificate, loopbackCertificate } from '../drivers/object-certificate.ts';
import { makeBucket, missingS3, type S3Server, startS3 } from '../drivers/object-servers.ts';
import { until } from '../drivers/until.ts';

const skip = missingS3();
const MIB = 1024 * 1024;
let server: S3Server;

before(async () => {
  if (skip === false) server = await startS3();
});
after(() => server?.[Symbol.asyncDispose]());

const json = (answer: FileAnswer) => JSON.parse(answer.body.toString());
const asBlob = { 'x-ms-blob-type': 'BlockBlob', 'content-type': 'text/plain' };
const blockId = (nth: number): string => Buffer.from(`0a5f${String(nth).padStart(12, '0')}`).toString('base64');
const refused = (answer: FileAnswer, status: number, code: string): void =>
  assert.deepEqual([answer.status, answer.headers['x-ms-error-code']], [status, code], answer.body.toString());

/** Flags and variables of a hub with a new bucket. @param port of a link to the server */
async function inBucket(port = server.port) {
  const bucket = `b${randomBytes(8).toString('hex')}`;
  await makeBucket(server, bucket);
  return {
    args: [
      ...['--files-store', 's3', '--files-s3-endpoint', `http://127.0.0.1:${port}`, '--files-s3-bucket', bucket],
      ...['--files-s3-access-key-id', server.accessKeyId],
    ],
    env: { MOORING_FILES_S3_SECRET_ACCESS_KEY: server.secretAccessKey },
  };
}

const end = (device: FileDevice, { correlationId }: Ticket) =>
  device.ask('POST', '/files/notifications?api-version=2020-09-30', { correlationId, isSuccess: true });
const commit = (device: FileDevice, ticket: Ticket, count: number) => {
  const list = Array.from({ length: count }, (_, nth) => `<Latest>${blockId(nth)}</Latest>`).join('');
  return device.blob('PUT', ticket, { query: '&comp=blocklist', body: `<BlockList>${list}</BlockList>` });
};
/** A file in blocks of 4 MiB. @returns the number of blocks */
async function stage(device: FileDevice, ticket: Ticket, bytes: Buffer): Promise<number> {
  let nth = 0;
  for (; nth * 4 * MIB < bytes.length; nth++) {
    const body = bytes.subarray(nth * 4 * MIB, (nth + 1) * 4 * MIB);
    const query = `&comp=block&blockid=${encodeURIComponent(blockId(nth))}`;
    assert.equal((await device.blob('PUT', ticket, { query, body })).status, 201);
  }
  return nth;
}
const metricOf = async (hub: TestHub, name: string): Promise<number | undefined> => {
  const page = await (await fetch(`http://127.0.0.1:${hub.endpoints.ports.admin}/metrics`)).text();
  const value = new RegExp(`^${name} (\\S+)$`, 'm').exec(page)?.[1];
  return value === undefined ? undefined : Number(value);
};

test('the blob endpoint over S3: one piece, blocks, conditions, ranges, ETags, what is counted', { skip }, async () => {
  await using hub = await startHub(await inBucket());
  const ask = await backEndOf(hub);
  const device = await fileDevice(hub, 'd1');
  const ticket = await device.begin('logs/a b.txt');
  assert.deepEqual([ticket.containerName, ticket.blobName], ['hub-files', 'd1/logs/a b.txt']);
  const bytes = randomBytes(100_000);
  const md5 = createHash('md5').update(bytes).digest('base64');
  const headers = { ...asBlob, 'x-ms-blob-content-md5': md5, 'if-none-match': '*' };
  const put = await device.blob('PUT', ticket, { headers, body: bytes });
  assert.deepEqual([put.status, put.headers['content-md5']], [201, md5], put.body.toString());
  refused(await device.blob('PUT', ticket, { headers, body: bytes }), 409, 'BlobAlreadyExists');
  const wrong = { ...asBlob, 'content-md5': createHash('md5').update('x').digest('base64') };
  refused(await device.blob('PUT', ticket, { headers: wrong, body: bytes }), 400, 'Md5Mismatch');
  const other = { ...asBlob, 'if-match': '"other"' };
  refused(await device.blob('PUT', ticket, { headers: other, body: bytes }), 412, 'ConditionNotMet');

  const got = await device.blob('GET', ticket);
  assert.deepEqual([got.status, got.headers['content-type'], got.headers.etag], [200, 'text/plain', put.headers.etag]);
  assert.ok(got.body.equals(bytes));
  const part = await device.blob('GET', ticket, { headers: { range: 'bytes=10-19' } });
  assert.deepEqual([part.status, part.headers['content-range']], [206, 'bytes 10-19/100000']);
  assert.deepEqual(part.body, bytes.subarray(10, 20));
  refused(await device.blob('GET', ticket, { headers: { range: 'bytes=100000-' } }), 416, 'InvalidRange');
  const same = await device.blob('GET', ticket, { headers: { 'if-none-match': String(put.headers.etag) } });
  assert.equal(same.status, 304);
  assert.equal((await end(device, ticket)).status, 204);

  const second = await device.begin('large');
  const large = randomBytes(5 * MIB);
  const count = await stage(device, second, large);
  refused(await device.blob('GET', second), 404, 'BlobNotFound');
  assert.equal((await end(device, second)).status, 400, 'no list, no file');
  assert.equal(await metricOf(hub, 'mooring_files_bytes'), large.length + bytes.length, 'blocks count');
  assert.equal((await commit(device, second, count)).status, 201);
  assert.equal((await end(device, second)).status, 204);
  assert.equal(await metricOf(hub, 'mooring_files_bytes'), large.length + bytes.length);
  assert.equal(await metricOf(hub, 'mooring_files'), 2);
  assert.ok((await device.ask('GET', '/files/large')).body.equals(large));
  const listed = json(await ask('GET', '/mooring/v1/devices/d1/files')).files;
  assert.deepEqual(
    listed.map(({ name, bytes: size, contentType }: Record<string, unknown>) => [name, size, contentType]),
    [
      ['large', 5 * MIB, 'application/octet-stream'],
      ['logs/a b.txt', 100_000, 'text/plain'],
    ],
  );
  assert.equal((await ask('DELETE', '/mooring/v1/devices/d1/files/large')).status, 204);
  assert.equal(await metricOf(hub, 'mooring_files_bytes'), bytes.length);
  assert.ok(((await metricOf(hub, 'mooring_files_store_requests_total\\{outcome="ok"\\}')) ?? 0) > 0);
});

test('while the store is away: 503 ServerBusy for all that needs it; blocks are taken all the same', {
  skip,
}, async () => {
  await using link = await FaultyLink.to(server.port);
  await using hub = await startHub(await inBucket(link.port));
  const device = await fileDevice(hub, 'd1');
  const [small, large] = [await device.begin('small'), await device.begin('large')];
  assert.equal((await device.blob('PUT', small, { headers: asBlob, body: 'warm' })).status, 201);
  void link.fail(() => 'cut');
  const put = await device.blob('PUT', small, { headers: asBlob, body: 'cold' });
  refused(put, 503, 'ServerBusy');
  assert.equal(put.headers['retry-after'], '1');
  refused(await device.blob('GET', small), 503, 'ServerBusy');
  assert.equal((await end(device, small)).status, 503);
  const bytes = randomBytes(5 * MIB);
  const count = await stage(device, large, bytes);
  refused(await commit(device, large, count), 503, 'ServerBusy');
  link.heal();
  assert.equal((await commit(device, large, count)).status, 201);
  assert.ok((await device.blob('GET', large)).body.equals(bytes));
  assert.equal((await device.blob('GET', small)).body.toString(), 'warm', 'what was refused has left nothing');
  assert.equal((await end(device, small)).status, 204);
  assert.ok(!hub.stderr().includes(server.secretAccessKey));
});

test('kill -9 before S3 has put the parts together: nothing is seen, and the list works again', { skip }, async () => {
  await using link = await FaultyLink.to(server.port);
  let hub = await startHub(await inBucket(link.port));
  try {
    const device = await fileDevice(hub, 'd1');
    const ticket = await device.begin('x');
    const bytes = randomBytes(36 * MIB);
    const count = await stage(device, ticket, bytes);
    const isHeld = link.fail((piece) => (piece.includes('<CompleteMultipartUpload>') ? 'hold' : 'pass'));
    const lost = commit(device, ticket, count);
    lost.catch(() => {});
    await isHeld;
    await hub.kill();
    await assert.rejects(lost);
    link.heal();
    hub = await hub.restart();
    refused(await device.blob('GET', ticket), 404, 'BlobNotFound');
    assert.equal((await commit(device, ticket, count)).status, 201);
    assert.ok((await device.blob('GET', ticket)).body.equals(bytes));
    assert.equal((await end(device, ticket)).status, 204);
  } finally {
    await hub[Symbol.asyncDispose]();
  }
});

test('kill -9 when S3 has it and the device does not know: the list again is answered', { skip }, async () => {
  await using link = await FaultyLink.to(server.port);
  let hub = await startHub(await inBucket(link.port));
  try {
    const device = await fileDevice(hub, 'd1');
    const ticket = await device.begin('x');
    const bytes = randomBytes(5 * MIB);
    const count = await stage(device, ticket, bytes);
    const isMute = link.fail((piece) => (piece.includes('PUT /') ? 'mute' : 'pass'));
    const lost = commit(device, ticket, count);
    lost.catch(() => {});
    await isMute;
    // Until the bucket has it.
    const ask = await backEndOf(hub);
    const listed = async () => json(await ask('GET', '/mooring/v1/devices/d1/files')).files.length > 0;
    await until('the bucket has it', listed, { everyMs: 50 });
    await hub.kill();
    link.heal();
    hub = await hub.restart();
    assert.ok((await device.blob('GET', ticket)).body.equals(bytes), 'it is whole');
    assert.equal((await commit(device, ticket, count)).status, 201);
    assert.equal((await end(device, ticket)).status, 204);
  } finally {
    await hub[Symbol.asyncDispose]();
  }
});

test('a bucket over TLS by a certificate of its own; settings that can never work are refused', { skip }, async () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'mooring-s3-hub-'));
  const certificate: LoopbackCertificate = await loopbackCertificate();
  writeFileSync(path.join(folder, 'ca.pem'), certificate.authority);
  await using own = await startS3({ tls: certificate });
  await makeBucket(own, 'files', certificate.authority);
  const flags = (bucket: string) => [
    ...['--files-store', 's3', '--files-s3-endpoint', own.endpoint, '--files-s3-bucket', bucket],
    ...['--files-s3-access-key-id', own.accessKeyId, '--files-store-ca-file', path.join(folder, 'ca.pem')],
  ];
  const env = { MOORING_FILES_S3_SECRET_ACCESS_KEY: own.secretAccessKey };
  {
    await using hub = await startHub({ args: flags('files'), env });
    const device = await fileDevice(hub, 'd1');
    const ticket = await device.begin('x');
    assert.equal((await device.blob('PUT', ticket, { headers: asBlob, body: 'warm' })).status, 201);
    assert.equal((await device.blob('GET', ticket)).body.toString(), 'warm');
  }
  const serve = (args: readonly string[], variables: Readonly<Record<string, string>>) =>
    runMooring(['serve', '--data-dir', path.join(folder, 'data'), '--https-port', '0', ...args], variables);
  const missing = await serve(flags('none-such'), env);
  assert.notEqual(missing.code, 0);
  assert.match(missing.stderr, /The store of files \(s3\) cannot be used: .* 404 NoSuchBucket/);
  const lacks = await serve(['--files-store', 's3'], {});
  for (const name of ['filesS3Endpoint', 'filesS3Bucket', 'filesS3AccessKeyId', 'filesS3SecretAccessKey']) {
    assert.match(lacks.stderr, new RegExp(`filesStore s3 needs ${name}`));
  }
  rmSync(folder, { recursive: true });
});
