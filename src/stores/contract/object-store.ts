import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { limits } from '../../base/limits.ts';
import { ObjectError, type ObjectErrorKind, type ObjectStore, type OpenObject } from '../../core/files/object-store.ts';

export interface OpenedStore {
  readonly store: ObjectStore;
  readonly close: () => Promise<void>;
  /** Closes and opens again what is stored. */
  reopen(): Promise<ObjectStore>;
}

const anyTime = { contentType: 'application/octet-stream', condition: {} };
const MANY = 1e9;

/** In what a store may be of its own. */
export interface ContractOptions {
  readonly skip?: string | false;
  /** Of a block; default 1,000. */
  readonly blockBytes?: number;
  /** Characters of the longest name that is tried, of one segment. */
  readonly nameCharsMax?: number;
  /** Names of which one is the beginning of the other, up to a slash, are refused by the service behind the store. */
  readonly isTree?: boolean;
  /** The service behind the store drops blocks in a time of its own. */
  readonly expiresItself?: boolean;
}

/** What every `ObjectStore` does. `open` gives a new, empty one. */
export function objectStoreContract(
  name: string,
  open: () => Promise<OpenedStore>,
  { skip = false, blockBytes = 1000, nameCharsMax = 1024, isTree = false, expiresItself = false }: ContractOptions = {},
): void {
  const trial = (what: string, run: (store: ObjectStore, opened: OpenedStore) => Promise<void>): unknown =>
    test(`${name}: ${what}`, { skip }, async () => {
      const opened = await open();
      try {
        await run(opened.store, opened);
      } finally {
        await opened.close();
      }
    });

  trial('an object is what was put, also after it was opened again', async (store, { reopen }) => {
    const bytes = randomBytes(3 * blockBytes + 7);
    const md5 = createHash('md5').update(bytes).digest('base64');
    const options = {
      bytesMax: MANY,
      bytes: bytes.length,
      contentType: 'image/png',
      condition: {},
      md5,
      sums: { md5 },
    };
    const put = await store.put('d1/a/b.png', inPieces(bytes), options);
    assert.equal(put.bytes, bytes.length);
    assert.deepEqual(await store.head('d1/a/b.png'), put);
    assert.equal(put.contentType, 'image/png');
    assert.equal(put.md5, md5);
    assert.deepEqual(await bytesOf(await store.read('d1/a/b.png')), bytes);
    const again = await reopen();
    assert.deepEqual(await again.head('d1/a/b.png'), put);
    assert.deepEqual(await bytesOf(await again.read('d1/a/b.png')), bytes);
  });

  trial('an empty object is one', async (store) => {
    const { bytes } = await store.put('d1/empty', inPieces(Buffer.alloc(0)), { bytesMax: MANY, bytes: 0, ...anyTime });
    assert.equal(bytes, 0);
    assert.deepEqual(await bytesOf(await store.read('d1/empty')), Buffer.alloc(0));
  });

  trial('what is not there is not there', async (store) => {
    assert.equal(await store.head('d1/none'), undefined);
    assert.equal(await store.read('d1/none'), undefined);
    assert.equal(await store.delete('d1/none'), false);
    assert.deepEqual(await store.list('', { limit: 10 }), []);
  });

  trial('a part of an object is read by its range', async (store) => {
    const bytes = randomBytes(1000);
    await store.put('d1/x', inPieces(bytes), { bytesMax: MANY, ...anyTime });
    assert.deepEqual(await bytesOf(await store.read('d1/x', { start: 10, end: 19 })), bytes.subarray(10, 20));
    assert.deepEqual(await bytesOf(await store.read('d1/x', { start: 999, end: 999 })), bytes.subarray(999));
  });

  trial('another object of that name has another ETag, and conditions look at it', async (store) => {
    const first = await store.put('d1/x', inPieces(Buffer.from('one')), { bytesMax: MANY, ...anyTime });
    const isNew = { bytesMax: MANY, contentType: '', condition: { ifNoneMatch: '*' } };
    await refused('exists', store.put('d1/x', inPieces(Buffer.from('two')), isNew));
    const changing = (ifMatch: string) => ({ bytesMax: MANY, contentType: 'text/plain', condition: { ifMatch } });
    await refused('condition', store.put('d1/x', inPieces(Buffer.from('two')), changing('"other"')));
    assert.deepEqual(await store.head('d1/x'), first);
    const second = await store.put('d1/x', inPieces(Buffer.from('two')), changing(first.etag));
    assert.notEqual(second.etag, first.etag);
    assert.equal((await bytesOf(await store.read('d1/x'))).toString(), 'two');
    await refused('condition', store.put('d1/y', inPieces(Buffer.from('two')), changing('*')));
    await refused('condition', store.delete('d1/x', { ifMatch: first.etag }));
    assert.equal(await store.delete('d1/x', { ifMatch: second.etag }), true);
    assert.equal(await store.delete('d1/x', { ifMatch: '*' }), false);
  });

  trial('blocks become an object in the order of the list, however they came', async (store) => {
    const blocks = Array.from({ length: 6 }, (_, nth) => randomBytes(nth === 5 ? 13 : blockBytes));
    for (const nth of [3, 0, 5, 1, 4, 2]) await stage(store, 'd1/x', numbered(nth), blocks[nth]);
    assert.equal(await store.head('d1/x'), undefined, 'nothing is seen before the list');
    const facts = await store.commit(
      'd1/x',
      blocks.map((_, nth) => numbered(nth)),
      { bytesMax: MANY, ...anyTime },
    );
    assert.equal(facts.bytes, 5 * blockBytes + 13);
    assert.deepEqual(await bytesOf(await store.read('d1/x')), Buffer.concat(blocks));
    assert.equal(await store.stagedBytes('d1/x'), 0);
  });

  trial('a list may leave blocks out, turn them round and name one twice', async (store) => {
    const blocks = Array.from({ length: 3 }, () => randomBytes(blockBytes));
    for (const [nth, block] of blocks.entries()) await stage(store, 'd1/x', numbered(nth), block);
    const order = [2, 0, 2];
    await store.commit('d1/x', order.map(numbered), { bytesMax: MANY, ...anyTime });
    assert.deepEqual(await bytesOf(await store.read('d1/x')), Buffer.concat(order.map((nth) => blocks[nth])));
    await refused('unknownBlock', store.commit('d1/x', [numbered(1)], { bytesMax: MANY, ...anyTime }));
  });

  trial('a list that comes again, because its answer was lost, has the same answer', async (store, { reopen }) => {
    if (expiresItself) return;
    const options = { bytesMax: MANY, ...anyTime, upload: 'one' };
    const ids = [numbered(0), numbered(1)];
    for (const id of ids) await stage(store, 'd1/x', id, randomBytes(blockBytes));
    const facts = await store.commit('d1/x', ids, options);
    assert.deepEqual(await store.commit('d1/x', ids, { ...options, condition: { ifNoneMatch: '*' } }), facts);
    const again = await reopen();
    if ((await again.head('d1/x')) !== undefined) assert.deepEqual(await again.commit('d1/x', ids, options), facts);
    await refused('unknownBlock', again.commit('d1/x', [...ids].reverse(), options));
    // Clients give the blocks of every file the same ids.
    await refused('unknownBlock', again.commit('d1/x', ids, { ...options, upload: 'two' }));
    await refused('unknownBlock', again.commit('d1/x', ids, { bytesMax: MANY, ...anyTime }));
    await stage(again, 'd1/x', ids[0], randomBytes(blockBytes));
    await refused('unknownBlock', again.commit('d1/x', ids, options));
    await again.put('d1/x', inPieces(randomBytes(2 * blockBytes)), { bytesMax: MANY, ...anyTime });
    await refused('unknownBlock', again.commit('d1/x', ids, options));
  });

  trial('an empty list makes an empty object', async (store) => {
    const { bytes } = await store.commit('d1/x', [], { bytesMax: MANY, ...anyTime });
    assert.equal(bytes, 0);
  });

  trial('a block that comes again replaces the first; ids that are no numbers do as well', async (store) => {
    const [a, b, c] = [randomBytes(blockBytes), randomBytes(blockBytes), randomBytes(blockBytes)];
    const ids = [base64('xxxx'), base64('yyyy')];
    await stage(store, 'd1/x', ids[0], a);
    await stage(store, 'd1/x', ids[1], b);
    await stage(store, 'd1/x', ids[0], c);
    await store.commit('d1/x', ids, { bytesMax: MANY, ...anyTime });
    assert.deepEqual(await bytesOf(await store.read('d1/x')), Buffer.concat([c, b]));
  });

  trial('staged blocks outlive the process', async (store, { reopen }) => {
    const blocks = [randomBytes(blockBytes), randomBytes(blockBytes)];
    await stage(store, 'd1/x', numbered(0), blocks[0]);
    const again = await reopen();
    await stage(again, 'd1/x', numbered(1), blocks[1]);
    await again.commit('d1/x', [numbered(0), numbered(1)], { bytesMax: MANY, ...anyTime });
    assert.deepEqual(await bytesOf(await again.read('d1/x')), Buffer.concat(blocks));
  });

  trial('many blocks at once', async (store) => {
    const blocks = Array.from({ length: 20 }, () => randomBytes(blockBytes));
    await Promise.all(blocks.map((block, nth) => stage(store, 'd1/x', numbered(nth), block)));
    await store.commit(
      'd1/x',
      blocks.map((_, nth) => numbered(nth)),
      { bytesMax: MANY, ...anyTime },
    );
    assert.deepEqual(await bytesOf(await store.read('d1/x')), Buffer.concat(blocks));
  });

  trial('what is refused leaves nothing behind', async (store) => {
    const bytes = randomBytes(100);
    const put = (options: object) => store.put('d1/x', inPieces(bytes), { bytesMax: MANY, ...anyTime, ...options });
    await refused('tooLarge', put({ bytesMax: 99 }));
    await refused('incomplete', put({ bytes: 101 }));
    await refused('md5', put({ sums: { md5: createHash('md5').update('other').digest('base64') } }));
    await refused('crc64', put({ sums: { crc64: Buffer.alloc(8).toString('base64') } }));
    await refused('incomplete', store.put('d1/x', failing(bytes), { bytesMax: MANY, ...anyTime }));
    await refused('incomplete', store.stage('d1/x', numbered(0), failing(bytes), { bytesMax: MANY, bytes: 200 }));
    await refused('unknownBlock', store.commit('d1/x', [numbered(0)], { bytesMax: MANY, ...anyTime }));
    assert.equal(await store.head('d1/x'), undefined);
    assert.deepEqual(await store.list('', { limit: 10 }), []);
    assert.equal((await store.usage(''))?.bytes ?? 0, 0);
  });

  trial('block ids of one object have one length', async (store) => {
    await stage(store, 'd1/x', base64('aa'), randomBytes(10));
    await refused('blockId', stage(store, 'd1/x', base64('aaaa'), randomBytes(10)));
  });

  trial('a list that is larger than allowed is refused', async (store) => {
    await stage(store, 'd1/x', numbered(0), randomBytes(blockBytes));
    const ids = [numbered(0), numbered(0)];
    await refused('tooLarge', store.commit('d1/x', ids, { bytesMax: 2 * blockBytes - 1, ...anyTime }));
  });

  trial('the sum of the storage service is checked', async (store) => {
    // The check value of this CRC over the digits 1 to 9, as the storage service writes it.
    const sums = { crc64: Buffer.from('ae8b14860a799888', 'hex').reverse().toString('base64') };
    const bytes = Buffer.from('123456789');
    await store.stage('d1/x', numbered(0), inPieces(bytes), { bytesMax: MANY, bytes: bytes.length, sums });
  });

  trial('names of any kind stay apart', async (store) => {
    const names = [
      'A',
      'a',
      isTree ? 'c/b' : 'a/b',
      'a%2Fb',
      'a b',
      'a+b',
      'ä',
      '~x',
      '.hidden',
      '*',
      'x'.repeat(nameCharsMax),
      `${'x'.repeat(nameCharsMax - 1)}y`,
      '火'.repeat(Math.floor(nameCharsMax / 3)),
      'a&<b>"c\'d',
    ];
    for (const name of names)
      await store.put(`d.1/${name}`, inPieces(Buffer.from(name)), { bytesMax: MANY, ...anyTime });
    for (const name of names) assert.equal((await bytesOf(await store.read(`d.1/${name}`))).toString(), name);
    const listed = await store.list('d.1/', { limit: 100 });
    assert.deepEqual(new Set(listed.map(({ path }) => path)), new Set(names.map((name) => `d.1/${name}`)));
  });

  trial('a list has pages, in order, and knows devices apart', async (store) => {
    for (const path of ['d1/b', 'd1/a', 'd1/c', 'd10/x', 'd2/y']) {
      await store.put(path, inPieces(Buffer.from(path)), { bytesMax: MANY, ...anyTime });
    }
    const paths = async (prefix: string, page: { after?: string; limit: number }) =>
      (await store.list(prefix, page)).map(({ path }) => path);
    assert.deepEqual(await paths('d1/', { limit: 2 }), ['d1/a', 'd1/b']);
    assert.deepEqual(await paths('d1/', { limit: 2, after: 'd1/b' }), ['d1/c']);
    assert.deepEqual((await paths('', { limit: 10 })).sort(), ['d1/a', 'd1/b', 'd1/c', 'd10/x', 'd2/y'].sort());
    assert.equal(await store.deleteAll('d1/'), 3);
    assert.deepEqual((await paths('', { limit: 10 })).sort(), ['d10/x', 'd2/y']);
  });

  trial('what is used is counted, by device and in all', async (store) => {
    if ((await store.usage('')) === undefined) return;
    await store.put('d1/a', inPieces(randomBytes(100)), { bytesMax: MANY, ...anyTime });
    await store.put('d1/a', inPieces(randomBytes(70)), { bytesMax: MANY, ...anyTime });
    await store.put('d2/a', inPieces(randomBytes(5)), { bytesMax: MANY, ...anyTime });
    await stage(store, 'd1/b', numbered(0), randomBytes(30));
    assert.deepEqual(await store.usage('d1/'), { bytes: 100, objects: 1 });
    assert.deepEqual(await store.usage(''), { bytes: 105, objects: 2 });
    await store.commit('d1/b', [numbered(0)], { bytesMax: MANY, ...anyTime });
    assert.deepEqual(await store.usage('d1/'), { bytes: 100, objects: 2 });
    await store.delete('d1/a');
    assert.deepEqual(await store.usage('d1/'), { bytes: 30, objects: 1 });
  });

  trial('blocks that nobody commits are dropped in time', async (store) => {
    await stage(store, 'd1/x', numbered(0), randomBytes(30));
    if (expiresItself) return;
    await store.expire(Date.now() - 60_000);
    assert.equal(await store.stagedBytes('d1/x'), 30);
    await store.expire(Date.now() + 60_000);
    assert.equal(await store.stagedBytes('d1/x'), 0);
    await refused('unknownBlock', store.commit('d1/x', [numbered(0)], { bytesMax: MANY, ...anyTime }));
  });

  trial('who reads has the object that was there, whatever is stored meanwhile', async (store) => {
    const bytes = randomBytes(4 * limits.filePieceBytes);
    await store.put('d1/x', inPieces(bytes), { bytesMax: MANY, ...anyTime });
    const opened = await store.read('d1/x');
    await store.put('d1/x', inPieces(randomBytes(10)), { bytesMax: MANY, ...anyTime });
    assert.deepEqual(await bytesOf(opened), bytes);
  });
}

/** Each call goes to the next one of stores that have the same objects; each counts what it has taken itself. */
export function inTurn(stores: readonly ObjectStore[]): ObjectStore {
  let calls = 0;
  const next = (): ObjectStore => stores[calls++ % stores.length];
  return {
    kind: stores[0].kind,
    put: (...call) => next().put(...call),
    stage: (...call) => next().stage(...call),
    commit: (...call) => next().commit(...call),
    async stagedBytes(objectPath) {
      const bytes = await Promise.all(stores.map((store) => store.stagedBytes(objectPath)));
      return bytes.reduce((sum, each) => sum + each, 0);
    },
    head: (...call) => next().head(...call),
    read: (...call) => next().read(...call),
    delete: (...call) => next().delete(...call),
    list: (...call) => next().list(...call),
    deleteAll: (...call) => next().deleteAll(...call),
    async expire(before) {
      for (const store of stores) await store.expire(before);
    },
    usage: async (prefix) => (stores.length === 1 ? stores[0].usage(prefix) : undefined),
    freeBytes: () => next().freeBytes(),
    check: () => next().check(),
    async close() {
      for (const store of stores) await store.close();
    },
  };
}

function stage(store: ObjectStore, path: string, id: string, bytes: Buffer): Promise<unknown> {
  return store.stage(path, id, inPieces(bytes), { bytesMax: MANY, bytes: bytes.length });
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}

/** A block id as libraries make them: a name and an ordinal of fixed length. */
function numbered(nth: number): string {
  return base64(`5c2a${String(nth).padStart(12, '0')}`);
}

async function* inPieces(bytes: Buffer): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 700) yield bytes.subarray(at, at + 700);
}

async function* failing(bytes: Buffer): AsyncGenerator<Uint8Array> {
  yield bytes;
  throw new Error('the connection is gone');
}

async function bytesOf(opened: OpenObject | undefined): Promise<Buffer> {
  assert.ok(opened !== undefined, 'the object is there');
  const pieces: Uint8Array[] = [];
  for await (const piece of opened.body) pieces.push(Buffer.from(piece));
  return Buffer.concat(pieces);
}

async function refused(kind: ObjectErrorKind, work: Promise<unknown>): Promise<void> {
  await assert.rejects(work, (error) => error instanceof ObjectError && error.kind === kind);
}
