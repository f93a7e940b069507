import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { systemClock } from '../../../base/clock.ts';
import { limits } from '../../../base/limits.ts';
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

async function bytesOf(body: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of body) pieces.push(Buffer.from(piece));
  return Buffer.concat(pieces);
}
