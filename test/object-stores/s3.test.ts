/** The store `s3` against a server that refuses small parts: the contract of all stores, and what can go wrong on the way. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import { limits } from '../../src/base/limits.ts';
import { ObjectError, type ObjectErrorKind, type ObjectStore } from '../../src/core/files/object-store.ts';
import { inTurn, objectStoreContract } from '../../src/stores/contract/object-store.ts';
import { StoreClient } from '../../src/stores/objects/remote/store-client.ts';
import { S3Service } from '../../src/stores/objects/s3/s3-service.ts';
import { openS3Store } from '../../src/stores/objects/s3/s3-store.ts';
import { FaultyLink } from '../drivers/faulty-link.ts';
import { makeBucket, missingS3, type S3Server, startS3 } from '../drivers/object-servers.ts';

const skip = missingS3();
const MIB = 1024 * 1024;
let server: S3Server;

before(async () => {
  if (skip === false) server = await startS3();
});
after(() => server?.[Symbol.asyncDispose]());

/** A new bucket and its store. @param port of a link to the server @param nodes that share the folder, asked in turn */
async function newStore(port = server.port, nodes = 1) {
  const name = `b${randomBytes(8).toString('hex')}`;
  await makeBucket(server, name);
  const folder = mkdtempSync(path.join(tmpdir(), 'mooring-s3-'));
  const { accessKeyId, secretAccessKey } = server;
  const bucket = {
    ...{ endpoint: new URL(`http://127.0.0.1:${port}`), name, isPathStyle: true },
    key: { accessKeyId, secretAccessKey, region: 'us-east-1' },
  };
  const around = { bucket, ca: undefined, folder, clock: systemClock, observe: () => {} };
  const open = async (): Promise<ObjectStore> =>
    nodes === 1
      ? openS3Store(around)
      : inTurn(await Promise.all(Array.from({ length: nodes }, () => openS3Store({ ...around, isShared: true }))));
  let store = await open();
  const client = new StoreClient({ ca: undefined, clock: systemClock, observe: () => {} });
  return {
    ...{ folder, store },
    /** Asks the bucket itself. */
    service: new S3Service({
      ...{ bucket: { ...bucket, endpoint: new URL(server.endpoint) }, client },
      now: () => Date.now(),
    }),
    async reopen() {
      await store.close();
      store = await open();
      return store;
    },
    async close() {
      await store.close();
      client.close();
      rmSync(folder, { recursive: true });
    },
  };
}

// This server keeps keys as files: a segment has 255 bytes at most.
objectStoreContract('s3', newStore, { skip, nameCharsMax: 240, isTree: true });
objectStoreContract('s3, asked at 3 nodes in turn', () => newStore(server.port, 3), {
  ...{ skip, nameCharsMax: 240, isTree: true },
});

async function* inPieces(bytes: Buffer): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 65_536) yield bytes.subarray(at, at + 65_536);
}
const plain = { bytesMax: 1e9, contentType: 'text/plain', condition: {} };
const numbered = (nth: number): string => Buffer.from(`0a5f${String(nth).padStart(12, '0')}`).toString('base64');

async function bytesOf(store: ObjectStore, name: string): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of (await store.read(name))?.body ?? []) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** A file that needs several parts, in blocks that are smaller than S3 takes, the last ones first. */
async function stageLarge(store: ObjectStore): Promise<{ readonly bytes: Buffer; readonly ids: readonly string[] }> {
  const bytes = randomBytes(limits.fileStoreWholeBytesMax + 5 * MIB + 11);
  const ids = Array.from({ length: Math.ceil(bytes.length / (4 * MIB)) }, (_, nth) => numbered(nth));
  for (const [nth, id] of [...ids.entries()].reverse()) {
    const block = bytes.subarray(nth * 4 * MIB, (nth + 1) * 4 * MIB);
    await store.stage('d1/x', id, inPieces(block), { bytesMax: 1e9, bytes: block.length });
  }
  return { bytes, ids };
}
const refused = (kind: ObjectErrorKind, work: Promise<unknown>): Promise<void> =>
  assert.rejects(work, (error) => error instanceof ObjectError && error.kind === kind);

for (const nodes of [1, 3])
  test(`s3: small blocks become parts of the size that S3 takes; a list that comes again has the same answer: at ${nodes}`, {
    skip,
  }, async () => {
    const { store, folder, service, reopen, close } = await newStore(server.port, nodes);
    const { bytes, ids } = await stageLarge(store);
    assert.equal(await service.head('d1/x'), undefined, 'nothing is in the bucket before the list');
    const options = { ...plain, upload: 'one' };
    const facts = await store.commit('d1/x', ids, options);
    assert.match(facts.etag, /-3$/, 'it was sent in parts');
    assert.ok(bytes.equals(await bytesOf(store, 'd1/x')));
    // At another node, too, and after a restart.
    assert.deepEqual(await store.commit('d1/x', ids, { ...options, condition: { ifNoneMatch: '*' } }), facts);
    const again = await reopen();
    assert.deepEqual(await again.commit('d1/x', ids, options), facts);
    await refused('unknownBlock', again.commit('d1/x', ids.slice(1), options));
    assert.deepEqual(readdirSync(path.join(folder, '.staging')), [], 'nothing is left on the disk');
    assert.deepEqual((await service.uploads(undefined)).uploads, []);
    await close();
  });

test('s3: a store that breaks off in the middle: nothing is seen, blocks stay, the list works when it is back', {
  skip,
}, async () => {
  await using link = await FaultyLink.to(server.port);
  const { store, service, close } = await newStore(link.port);
  const { bytes, ids } = await stageLarge(store);
  let sent = 0;
  void link.fail((piece) => {
    sent += piece.length;
    return sent > 20 * MIB ? 'cut' : 'pass';
  });
  await refused('unavailable', store.commit('d1/x', ids, plain));
  assert.equal(await service.head('d1/x'), undefined);
  link.heal();
  await store.commit('d1/x', ids, plain);
  assert.ok(bytes.equals(await bytesOf(store, 'd1/x')));
  // What could not be aborted while the store was away.
  await store.expire(Date.now() + 60_000);
  assert.deepEqual((await service.uploads(undefined)).uploads, []);
  await close();
});

test('s3: the answer to the last step is lost: what is there counts', { skip }, async () => {
  await using link = await FaultyLink.to(server.port);
  const { store, close } = await newStore(link.port);
  const { bytes, ids } = await stageLarge(store);
  let lost = 0;
  const wasLost = link.fail((piece) => (piece.includes('<CompleteMultipartUpload>') && lost++ === 0 ? 'deaf' : 'pass'));
  const options = { ...plain, condition: { ifNoneMatch: '*' } };
  assert.equal((await store.commit('d1/x', ids, options)).bytes, bytes.length);
  await wasLost;
  assert.ok(bytes.equals(await bytesOf(store, 'd1/x')));
  // The same with an object that goes in one request.
  lost = 0;
  void link.fail((piece) => (piece.includes('PUT /') && lost++ === 0 ? 'deaf' : 'pass'));
  assert.equal((await store.put('d1/small', inPieces(Buffer.from('warm')), options)).bytes, 4);
  assert.ok(lost > 0);
  await close();
});

test('s3: uploads that a crash has left are aborted in time, those under way are not', { skip }, async () => {
  await using link = await FaultyLink.to(server.port);
  const { store, service, reopen, close } = await newStore(link.port);
  const { bytes, ids } = await stageLarge(store);
  await service.beginParts('d1/left', { ...plain, mark: 'left' });
  const isHeld = link.fail((piece) => (piece.includes('<CompleteMultipartUpload>') ? 'hold' : 'pass'));
  const work = store.commit('d1/x', ids, plain);
  work.catch(() => {});
  await isHeld;
  assert.equal((await service.uploads(undefined)).uploads.length, 2);
  await store.expire(Date.now() - 60_000);
  assert.equal((await service.uploads(undefined)).uploads.length, 2, 'neither is old');
  link.heal();
  assert.equal((await work).bytes, bytes.length);
  const again = await reopen();
  await again.expire(Date.now() + 60_000);
  assert.deepEqual((await service.uploads(undefined)).uploads, []);
  assert.ok(bytes.equals(await bytesOf(again, 'd1/x')));
  await close();
});

test('s3: a server that is silent is given up; with one that is slow it takes its time', { skip }, async () => {
  await using own = await startS3();
  await using link = await FaultyLink.to(own.port);
  await makeBucket(own, 'files');
  const folder = mkdtempSync(path.join(tmpdir(), 'mooring-s3-'));
  const { accessKeyId, secretAccessKey } = own;
  const bucket = {
    ...{ endpoint: new URL(`http://127.0.0.1:${link.port}`), name: 'files', isPathStyle: true },
    key: { accessKeyId, secretAccessKey, region: 'us-east-1' },
  };
  const around = { bucket, ca: undefined, folder, observe: () => {} };
  // The patience of a fourth of a second.
  const hasty = await openS3Store({
    ...around,
    clock: { ...systemClock, after: (ms, callback) => systemClock.after(ms / 80, callback) },
  });
  own.freeze();
  await assert.rejects(hasty.put('d1/x', inPieces(Buffer.from('warm')), plain), /it was silent for 20 seconds/);
  await hasty.close();
  own.resume();
  link.pieceMs = 10;
  const store = await openS3Store({ ...around, clock: systemClock });
  const bytes = randomBytes(4 * MIB);
  await store.put('d1/x', inPieces(bytes), plain);
  assert.ok(bytes.equals(await bytesOf(store, 'd1/x')));
  await store.close();
  rmSync(folder, { recursive: true });
});

test('s3: a name that is the beginning of another is refused where the server is a file system', { skip }, async () => {
  const { store, close } = await newStore();
  await store.put('d1/a', inPieces(Buffer.from('warm')), plain);
  await refused('exists', store.put('d1/a/b', inPieces(Buffer.from('cold')), plain));
  assert.equal((await bytesOf(store, 'd1/a')).toString(), 'warm');
  await close();
});

test('s3: a key that the server does not know, a bucket that is not there, and a server that is away', {
  skip,
}, async () => {
  const { accessKeyId, secretAccessKey } = server;
  const check = async (endpoint: string, name: string, secret: string) => {
    const folder = mkdtempSync(path.join(tmpdir(), 'mooring-s3-'));
    const key = { accessKeyId, secretAccessKey: secret, region: 'us-east-1' };
    const bucket = { endpoint: new URL(endpoint), name, isPathStyle: true, key };
    const store = await openS3Store({ bucket, ca: undefined, folder, clock: systemClock, observe: () => {} });
    try {
      await store.check();
    } finally {
      await store.close();
      rmSync(folder, { recursive: true });
    }
  };
  await refused('denied', check(server.endpoint, 'none-such', secretAccessKey));
  await makeBucket(server, 'known-one');
  await check(server.endpoint, 'known-one', secretAccessKey);
  await refused('denied', check(server.endpoint, 'known-one', 'x'.repeat(40)));
  await refused('unavailable', check('http://127.0.0.1:1', 'known-one', secretAccessKey));
});
