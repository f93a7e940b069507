import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { systemClock } from '../../../base/clock.ts';
import { seededRandom } from '../../../base/random.ts';
import { ObjectError, type ObjectStore } from '../../../core/files/object-store.ts';
import { openFolderStore } from './folder-store.ts';

const numbered = (nth: number): string => Buffer.from(`id${String(nth).padStart(6, '0')}`).toString('base64');
const plain = { bytesMax: 1e9, contentType: 'text/plain', condition: {} };

async function* once(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text);
}

test('shared folder: at random, three nodes do what one would do that knows everything', async (context) => {
  const seed = Number(process.env.MOORING_TEST_SEED ?? randomBytes(4).readUInt32LE());
  context.diagnostic(`seed ${seed}`);
  const random = seededRandom(seed);
  const below = (count: number): number => Math.floor(random.next() * count);
  const folder = mkdtempSync(path.join(os.tmpdir(), 'mooring-files-'));
  const open = (): Promise<ObjectStore> => openFolderStore({ folder, clock: systemClock, isShared: true });
  const nodes = await Promise.all([open(), open(), open()]);
  context.after(async () => {
    await Promise.all(nodes.map((node) => node.close()));
    rmSync(folder, { recursive: true });
  });
  const node = (): ObjectStore => nodes[below(nodes.length)];
  const model = new Map<string, { readonly blocks: Map<number, string>; object: string | undefined }>();
  for (const objectPath of ['d1/a', 'd1/b', 'd2/a']) model.set(objectPath, { blocks: new Map(), object: undefined });
  const paths = [...model.keys()];
  let stamp = 0;
  for (let step = 0; step < 600; step++) {
    const objectPath = paths[below(paths.length)];
    const known = model.get(objectPath);
    assert.ok(known !== undefined);
    const what = below(100);
    if (what < 60) {
      // Several at once, of different ids.
      const ids = new Set(Array.from({ length: 1 + below(4) }, () => below(6)));
      const contents = new Map([...ids].map((nth) => [nth, `${stamp++}.${'x'.repeat(below(9))}`]));
      const staging = [...contents].map(([nth, text]) =>
        node().stage(objectPath, numbered(nth), once(text), { bytesMax: 1e9, bytes: text.length }),
      );
      await Promise.all(staging);
      for (const [nth, content] of contents) known.blocks.set(nth, content);
    } else if (what < 80) {
      const all = [...known.blocks.keys()].sort();
      const named = below(4) === 0 ? Array.from({ length: below(5) }, () => below(6)) : all;
      const work = node().commit(objectPath, named.map(numbered), plain);
      if (named.every((nth) => known.blocks.has(nth))) {
        await work.catch((error) => assert.fail(`step ${step} of seed ${seed}: ${error}`));
        known.object = named.map((nth) => known.blocks.get(nth)).join('');
        known.blocks.clear();
      } else {
        await assert.rejects(work, (error) => error instanceof ObjectError && error.kind === 'unknownBlock');
      }
    } else if (what < 86) {
      known.object = `put ${stamp++}`;
      await node().put(objectPath, once(known.object), plain);
      known.blocks.clear();
    } else if (what < 90) {
      await node().deleteAll('d1/');
      for (const each of ['d1/a', 'd1/b']) model.set(each, { blocks: new Map(), object: undefined });
    } else if (what < 95) {
      // Some are killed and begun anew, some closed.
      const at = below(nodes.length);
      if (below(2) === 0) await nodes[at].close();
      nodes[at] = await open();
    } else {
      await node().expire(Date.now() - 60_000);
    }
    for (const [each, { object }] of model) {
      const found = existsSync(path.join(folder, each)) ? readFileSync(path.join(folder, each), 'utf8') : undefined;
      assert.equal(found, object, `${each} at step ${step} of seed ${seed}`);
    }
  }
  await nodes[0].expire(Date.now() + 60_000);
  assert.deepEqual(readdirSync(path.join(folder, '.staging')), []);
});
