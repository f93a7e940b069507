import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { systemClock } from '../../../base/clock.ts';
import { KiB } from '../../../base/limits/units.ts';
import { openFolderStore } from './folder-store.ts';

const BYTES = 512 * KiB;
const COUNT = 20;
const numbered = (nth: number): string => Buffer.from(`id${String(nth).padStart(6, '0')}`).toString('base64');
const ids = Array.from({ length: COUNT }, (_, nth) => numbered(nth));

/** All of it, or all but its last byte. */
async function* block(isBroken: boolean): AsyncGenerator<Uint8Array> {
  yield Buffer.alloc(BYTES - 1, 1);
  if (isBroken) throw new Error('gone');
  yield Buffer.alloc(1, 1);
}

for (const isShared of [false, true]) {
  test(`folder${isShared ? ', shared' : ''}: what blocks leave on the disk that broke off is counted until it is gone`, async (context) => {
    const folder = mkdtempSync(path.join(os.tmpdir(), 'mooring-files-'));
    const store = await openFolderStore({ folder, clock: systemClock, isShared });
    context.after(async () => {
      await store.close();
      rmSync(folder, { recursive: true });
    });
    const stage = (id: string, isBroken: boolean) =>
      store.stage('d1/x', id, block(isBroken), { bytesMax: 1e9, bytes: BYTES });
    const onDisk = (): number => {
      const names = readdirSync(folder, { recursive: true, encoding: 'utf8' });
      return names.reduce(
        (sum, name) => sum + (/\bdata\b/.test(name) ? statSync(path.join(folder, name)).blocks * 512 : 0),
        0,
      );
    };
    const counted = async (): Promise<number> => (await store.usage('d1/'))?.bytes ?? 0;
    const breakAll = async (): Promise<void> => {
      for (const id of ids) await assert.rejects(stage(id, true));
      assert.ok(onDisk() > (COUNT * BYTES) / 4, 'something is there');
      assert.equal(await counted(), onDisk());
      assert.equal(await store.stagedBytes('d1/x'), onDisk());
    };
    await breakAll();
    // They come again, and are put where they broke off.
    for (const id of ids) await stage(id, false);
    // With what the file system needs itself to find so many.
    const found = await counted();
    assert.ok(found >= COUNT * BYTES && found < COUNT * BYTES + 64 * KiB, `${found}`);
    await store.commit('d1/x', ids, { bytesMax: 1e9, contentType: 'text/plain', condition: {} });
    assert.deepEqual(await store.usage('d1/'), { bytes: COUNT * BYTES, objects: 1 });
    await store.deleteAll('d1/');
    await breakAll();
    await store.expire(Date.now() + 60_000);
    assert.deepEqual(await store.usage('d1/'), { bytes: 0, objects: 0 });
  });
}
