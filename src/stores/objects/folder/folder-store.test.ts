import assert from 'node:assert/strict';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { systemClock } from '../../../base/clock.ts';
import { limits } from '../../../base/limits.ts';
import { ObjectError } from '../../../core/files/object-store.ts';
import { objectStoreContract } from '../../contract/object-store.ts';
import { openFolderStore } from './folder-store.ts';

const newFolder = (): string => mkdtempSync(path.join(os.tmpdir(), 'mooring-files-'));

objectStoreContract('folder', async () => {
  const folder = newFolder();
  let store = await openFolderStore({ folder, clock: systemClock });
  return {
    store,
    async reopen() {
      await store.close();
      store = await openFolderStore({ folder, clock: systemClock });
      return store;
    },
    async close() {
      await store.close();
      rmSync(folder, { recursive: true });
    },
  };
});

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

const numbered = (nth: number): string => Buffer.from(`id${String(nth).padStart(6, '0')}`).toString('base64');
const plain = { bytesMax: 1e9, contentType: 'text/plain', condition: {} };

test('folder: an operator finds a plain file, and one put there by hand is an object', async (context) => {
  const folder = newFolder();
  context.after(() => rmSync(folder, { recursive: true }));
  const store = await openFolderStore({ folder, clock: systemClock });
  await store.put('press-7/logs/today.txt', once(Buffer.from('warm')), plain);
  assert.equal(readFileSync(path.join(folder, 'press-7', 'logs%2Ftoday.txt'), 'utf8'), 'warm');
  writeFileSync(path.join(folder, 'press-7', 'by-hand.txt'), 'cold');
  assert.equal((await store.head('press-7/by-hand.txt'))?.bytes, 4);
  const listed = await store.list('press-7/', { limit: 10 });
  assert.deepEqual(
    listed.map((object) => object.path),
    ['press-7/by-hand.txt', 'press-7/logs/today.txt'],
  );
  await store.close();
});

test('folder: blocks of numbered ids are committed without a copy', async (context) => {
  const folder = newFolder();
  context.after(() => rmSync(folder, { recursive: true }));
  const store = await openFolderStore({ folder, clock: systemClock });
  const blocks = Array.from({ length: 8 }, (_, nth) => Buffer.alloc(nth === 7 ? 10 : 4096, nth));
  for (const nth of [2, 0, 1, 7, 6, 3, 5, 4]) {
    await store.stage('d1/x', numbered(nth), once(blocks[nth]), { bytesMax: 1e9, bytes: blocks[nth].length });
  }
  const [staged] = readdirSync(path.join(folder, '.staging'));
  const { ino } = statSync(path.join(folder, '.staging', staged, 'data'));
  await store.commit(
    'd1/x',
    blocks.map((_, nth) => numbered(nth)),
    plain,
  );
  assert.equal(statSync(path.join(folder, 'd1', 'x')).ino, ino, 'it is the same file');
  assert.deepEqual(readFileSync(path.join(folder, 'd1', 'x')), Buffer.concat(blocks));
  assert.deepEqual(readdirSync(path.join(folder, '.staging')), []);
  await store.close();
});

test('folder: what is replaced or removed is freed, and stays for who reads it', async (context) => {
  const folder = newFolder();
  context.after(() => rmSync(folder, { recursive: true }));
  const store = await openFolderStore({ folder, clock: systemClock });
  // Freed in several pieces.
  const old = Buffer.alloc(3 * limits.fileDiscardBytes + 1, 1);
  const replaced = Buffer.alloc(2 * limits.fileDiscardBytes, 2);
  await store.put('d1/x', once(old), plain);
  const readers = [await store.read('d1/x'), await store.read('d1/x', { start: old.length - 10, end: old.length - 1 })];
  await store.put('d1/x', once(replaced), plain);
  const second = await store.read('d1/x');
  assert.equal(await store.delete('d1/x'), true);
  assert.deepEqual(readdirSync(path.join(folder, '.staging')), [], 'nothing is left of them');
  assert.deepEqual(readdirSync(path.join(folder, 'd1')), ['.facts']);
  const bytes = await Promise.all([...readers, second].map(async (open) => bytesOf(open?.body ?? [])));
  assert.ok(bytes[0].equals(old));
  assert.ok(bytes[1].equals(old.subarray(-10)));
  assert.ok(bytes[2].equals(replaced));
  // Nobody reads: the same, in pieces.
  await store.put('d1/x', once(old), plain);
  await store.put('d1/x', once(replaced), plain);
  assert.ok(readFileSync(path.join(folder, 'd1', 'x')).equals(replaced));
  assert.equal(await store.delete('d1/x'), true);
  assert.deepEqual(readdirSync(path.join(folder, '.staging')), []);
  await store.close();
});

test('folder: what a link leads to is neither read nor changed, whatever becomes of the link', async (context) => {
  const folder = newFolder();
  const outside = newFolder();
  context.after(() => rmSync(folder, { recursive: true }));
  context.after(() => rmSync(outside, { recursive: true }));
  const store = await openFolderStore({ folder, clock: systemClock });
  const target = path.join(outside, 'target');
  // So long that it would be freed in pieces.
  const kept = Buffer.alloc(2 * limits.fileDiscardBytes, 7);
  writeFileSync(target, kept);
  await store.put('d1/x', once(Buffer.from('own')), plain);
  for (const name of ['link', 'replaced']) symlinkSync(target, path.join(folder, 'd1', name));
  assert.equal(await store.head('d1/link'), undefined);
  assert.equal(await store.read('d1/link'), undefined);
  assert.equal(await store.delete('d1/link'), false);
  assert.deepEqual(
    (await store.list('d1/', { limit: 10 })).map((object) => object.path),
    ['d1/x'],
  );
  await store.put('d1/replaced', once(Buffer.from('new')), plain);
  assert.equal(readFileSync(path.join(folder, 'd1', 'replaced'), 'utf8'), 'new');
  assert.equal(await store.delete('d1/replaced'), true);
  assert.equal(await store.deleteAll('d1/'), 1);
  assert.ok(readFileSync(target).equals(kept), 'it is as it was');
  await store.close();
});

test('folder: a device leaves only so many files unfinished behind, and only so many blocks of one', async (context) => {
  const folder = newFolder();
  context.after(() => rmSync(folder, { recursive: true }));
  const store = await openFolderStore({ folder, clock: systemClock });
  const stage = (objectPath: string) =>
    store.stage(objectPath, numbered(0), once(Buffer.from('x')), { bytesMax: 1e9, bytes: 1 });
  const isFull = (error: unknown): boolean => error instanceof ObjectError && error.kind === 'full';
  const left = Array.from({ length: limits.fileUnfinishedPerDeviceMax }, (_, nth) => `d1/${nth}`);
  for (const objectPath of left) await stage(objectPath);
  await assert.rejects(stage('d1/more'), isFull);
  await stage('d1/0');
  await stage('d10/more');
  assert.equal((await store.put('d1/more', once(Buffer.from('whole')), plain)).bytes, 5, 'what needs none is taken');
  await store.expire(Date.now() + 60_000);
  assert.equal((await store.usage(''))?.bytes, 5);
  await stage('d1/more');
  // As if it had been there before: the index says how many there were.
  const [name] = readdirSync(path.join(folder, '.staging'));
  const filled = new Set<string>();
  await store.close();
  const line = `${JSON.stringify({ id: numbered(0), offset: 0, bytes: 1 })}\n`;
  appendFileSync(path.join(folder, '.staging', name, 'index'), line.repeat(limits.fileBlocksStagedMax - 1));
  const again = await openFolderStore({ folder, clock: systemClock });
  await assert.rejects(
    again.stage('d1/more', numbered(0), once(Buffer.from('x')), { bytesMax: 1e9, bytes: 1 }),
    (error) => error instanceof ObjectError && error.kind === 'tooManyBlocks',
  );
  // Those of all unfinished files of a device count together.
  const [perFile, perDevice] = [limits.fileBlocksStagedMax, limits.fileBlocksPerDeviceMax];
  assert.ok(perDevice < 3 * perFile);
  await again.put('d1/more', once(Buffer.from('x')), plain);
  for (const [nth, blocks] of [perFile - 1, perDevice - perFile].entries()) {
    await again.stage(`d1/many-${nth}`, numbered(0), once(Buffer.from('x')), { bytesMax: 1e9, bytes: 1 });
    const [added] = readdirSync(path.join(folder, '.staging')).filter((each) => !filled.has(each));
    filled.add(added);
    appendFileSync(path.join(folder, '.staging', added, 'index'), line.repeat(blocks - 1));
  }
  await again.close();
  const third = await openFolderStore({ folder, clock: systemClock });
  const one = (objectPath: string) =>
    third.stage(objectPath, numbered(0), once(Buffer.from('x')), { bytesMax: 1e9, bytes: 1 });
  await one('d1/last');
  await assert.rejects(one('d1/last'), (error) => error instanceof ObjectError && error.kind === 'tooManyBlocks');
  await one('d10/last');
  assert.equal((await third.put('d1/many-0', once(Buffer.from('x')), plain)).bytes, 1);
  await one('d1/last');
  await third.close();
});

test('folder: a client that sends a block slowly holds up no other whose time is over', async (context) => {
  const folder = newFolder();
  context.after(() => rmSync(folder, { recursive: true }));
  const store = await openFolderStore({ folder, clock: systemClock });
  const block = { bytesMax: 1e9, bytes: 6 };
  let goOn = (): void => {};
  async function* slowly(): AsyncGenerator<Uint8Array> {
    yield Buffer.from('fir');
    await new Promise<void>((resolve) => {
      goOn = resolve;
    });
    yield Buffer.from('st.');
  }
  const slow = store.stage('d1/slow', numbered(0), slowly(), block);
  await store.stage('d1/old', numbered(0), once(Buffer.from('second')), block);
  await store.expire(Date.now() + 60_000);
  assert.equal(await store.stagedBytes('d1/old'), 0);
  goOn();
  await slow;
  assert.equal((await store.commit('d1/slow', [numbered(0)], plain)).bytes, 6);
  await store.close();
});

test('folder: blocks that come in the moment in which old ones are dropped are not lost', async (context) => {
  const folder = newFolder();
  context.after(() => rmSync(folder, { recursive: true }));
  const store = await openFolderStore({ folder, clock: systemClock });
  const block = { bytesMax: 1e9, bytes: 3 };
  for (let round = 0; round < 40; round++) {
    const objectPath = `d1/${round}`;
    // The first block of each: its files are being made while the sweep looks at them.
    const staged = store.stage(objectPath, numbered(0), once(Buffer.from('new')), block);
    for (let turn = 0; turn < round % 8; turn++) await setImmediate();
    await store.expire(Date.now() - 60_000);
    await staged;
    assert.equal((await store.commit(objectPath, [numbered(0)], plain)).bytes, 3, `round ${round}`);
  }
  await store.close();
});

async function bytesOf(body: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of body) pieces.push(Buffer.from(piece));
  return Buffer.concat(pieces);
}

test('folder: lists of blocks of which none was staged take no place among the unfinished files', async (context) => {
  const folder = newFolder();
  context.after(() => rmSync(folder, { recursive: true }));
  const store = await openFolderStore({ folder, clock: systemClock });
  const isUnknown = (error: unknown): boolean => error instanceof ObjectError && error.kind === 'unknownBlock';
  for (let nth = 0; nth < limits.fileUnfinishedPerDeviceMax; nth++) {
    await assert.rejects(store.commit(`d1/${nth}`, [numbered(0)], plain), isUnknown);
  }
  await store.stage('d1/x', numbered(0), once(Buffer.from('x')), { bytesMax: 1e9, bytes: 1 });
  assert.equal((await store.commit('d1/of-none', [], plain)).bytes, 0);
  await store.close();
});

test('folder: a list that cannot be carried out leaves nothing open', {
  skip: existsSync('/proc/self/fd') ? false : 'open files cannot be seen here',
}, async (context) => {
  const folder = newFolder();
  context.after(() => rmSync(folder, { recursive: true }));
  const store = await openFolderStore({ folder, clock: systemClock });
  for (const nth of [0, 1]) {
    await store.stage('d1/x', numbered(nth), once(Buffer.from('x')), { bytesMax: 1e9, bytes: 1 });
  }
  const opened = (): readonly string[] =>
    readdirSync('/proc/self/fd').flatMap((fd) => {
      try {
        const target = readlinkSync(`/proc/self/fd/${fd}`);
        return target.startsWith(folder) ? [target] : [];
      } catch {
        return []; // closed meanwhile
      }
    });
  assert.deepEqual(opened(), []);
  // In the place of the device's folder.
  writeFileSync(path.join(folder, 'd1'), '');
  for (const list of [
    [0, 1],
    [1, 0],
  ]) {
    await assert.rejects(store.commit('d1/x', list.map(numbered), plain), ObjectError);
    assert.deepEqual(opened(), []);
  }
  rmSync(path.join(folder, 'd1'));
  assert.equal((await store.commit('d1/x', [0, 1].map(numbered), plain)).bytes, 2);
  assert.deepEqual(opened(), []);
  await store.close();
});

test('folder: blocks that cannot be removed are removed later, and count until then', async (context) => {
  const folder = newFolder();
  context.after(() => rmSync(folder, { recursive: true }));
  const store = await openFolderStore({ folder, clock: systemClock });
  await store.stage('d1/x', numbered(0), once(Buffer.from('x')), { bytesMax: 1e9, bytes: 1 });
  const [name] = readdirSync(path.join(folder, '.staging'));
  const data = path.join(folder, '.staging', name, 'data');
  rmSync(data);
  mkdirSync(data);
  await assert.rejects(store.expire(Date.now() + 60_000), ObjectError);
  assert.equal((await store.usage(''))?.bytes, 1);
  await assert.rejects(store.commit('d1/x', [numbered(0)], plain), ObjectError);
  rmSync(data, { recursive: true });
  await store.expire(Date.now() + 60_000);
  assert.equal((await store.usage(''))?.bytes, 0);
  assert.deepEqual(readdirSync(path.join(folder, '.staging')), []);
  await store.close();
});
