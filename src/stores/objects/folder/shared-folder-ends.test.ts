/** Lists that come to a shared folder from which blocks are being removed, or were by a node that was killed at it. */
import assert from 'node:assert/strict';
import { appendFileSync, cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { systemClock } from '../../../base/clock.ts';
import { limits } from '../../../base/limits.ts';
import { ObjectError, type ObjectErrorKind, type ObjectStore } from '../../../core/files/object-store.ts';
import { AllBlocks } from '../disk/all-blocks.ts';
import { removeBlocks } from '../disk/block-files.ts';
import { lineOfBlock } from '../disk/block-lines.ts';
import { DiskTurns } from '../disk/disk-turns.ts';
import { openFolderStore } from './folder-store.ts';

const numbered = (nth: number): string => Buffer.from(`id${String(nth).padStart(6, '0')}`).toString('base64');
const ids = [numbered(0), numbered(1), numbered(2)];
const options = { bytesMax: 1e9, contentType: 'text/plain', condition: {}, upload: 'one' };
const refused = (kind: ObjectErrorKind, work: Promise<unknown>): Promise<void> =>
  assert.rejects(work, (error) => error instanceof ObjectError && error.kind === kind);

async function* once(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text);
}

const stage = (node: ObjectStore, nth: number, text: string) =>
  node.stage('d1/x', numbered(nth), once(text), { bytesMax: 1e9, bytes: text.length });

/** Three nodes of one folder, and the place of their blocks of `d1/x`. */
async function nodesOf(context: TestContext) {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'mooring-files-'));
  const open = (): Promise<ObjectStore> => openFolderStore({ folder, clock: systemClock, isShared: true });
  const nodes = await Promise.all([open(), open(), open()]);
  context.after(async () => {
    await Promise.all(nodes.map((node) => node.close()));
    rmSync(folder, { recursive: true });
  });
  return { folder, nodes, place: () => path.join(folder, '.staging', readdirSync(path.join(folder, '.staging'))[0]) };
}

test('shared folder: a list that comes again is answered as it was, wherever a node was killed that removed its blocks', async (context) => {
  for (let stoppedAt = 0; stoppedAt < 4; stoppedAt++) {
    for (const first of [0, 1, 2]) {
      const { folder, nodes, place } = await nodesOf(context);
      for (const nth of [0, 1, 2]) await stage(nodes[(first + nth) % 3], nth, `old${nth}`);
      // One that is put again, so that an older one of its id is there.
      await stage(nodes[first], 1, 'new1');
      const [kept, staged] = [path.join(folder, '.kept'), place()];
      cpSync(staged, kept, { recursive: true });
      const facts = await nodes[0].commit('d1/x', ids, options);
      cpSync(kept, staged, { recursive: true });
      await removeUntil(staged, stoppedAt);
      const isWhole = readdirSync(staged).length === readdirSync(kept).length;
      rmSync(kept, { recursive: true });
      const again = await nodes[1].commit('d1/x', ids, options);
      // Where nothing is gone yet it makes the same file once more.
      if (isWhole) assert.equal(readFileSync(path.join(folder, 'd1', 'x'), 'utf8'), 'old0new1old2');
      else assert.deepEqual(again, facts, `stopped at ${stoppedAt}, begun at ${first}`);
      await refused('unknownBlock', nodes[1].commit('d1/x', ids, { ...options, upload: 'two' }));
      // Not where a block of it has come since.
      await stage(nodes[2], 1, 'late');
      await refused('unknownBlock', nodes[1].commit('d1/x', ids, options));
    }
  }
});

/** Removes blocks as a node does, which gets no further than to one of the names. */
async function removeUntil(staged: string, nth: number): Promise<void> {
  const names = readdirSync(staged);
  const data = names.filter((name) => name.startsWith('data'));
  if (nth < data.length) {
    const [name, aside] = [path.join(staged, data[nth]), path.join(staged, '..', 'aside')];
    renameSync(name, aside);
    mkdirSync(name);
    await assert.rejects(removeBlocks(staged, names));
    rmSync(name, { recursive: true });
    renameSync(aside, name);
  } else
    for (const each of [...data, names.find((name) => name.startsWith('index')) ?? '']) rmSync(path.join(staged, each));
}

test('shared folder: a long list of blocks holds up nothing else while it is read', async (context) => {
  const { folder, nodes, place } = await nodesOf(context);
  await stage(nodes[0], 0, 'only');
  const name = readdirSync(place()).find((each) => each.startsWith('index')) ?? '';
  const lines = Array.from({ length: limits.fileBlocksStagedMax }, (_, nth) =>
    lineOfBlock({ id: numbered(nth + 1), offset: 0, bytes: 1, order: nth + 2 }),
  );
  appendFileSync(path.join(place(), name), lines.join(''));
  const begun = performance.now();
  let [last, longest] = [begun, 0];
  const looking = setInterval(() => {
    longest = Math.max(longest, performance.now() - last);
    last = performance.now();
  }, 1);
  await refused('unknownBlock', nodes[1].commit('d1/x', [numbered(999_999)], options));
  clearInterval(looking);
  const whole = performance.now() - begun;
  assert.ok(longest < whole / 3, `held up for ${longest} of ${whole} ms`);
  await nodes[1].commit('d1/x', [numbered(0)], options);
  assert.equal(readFileSync(path.join(folder, 'd1', 'x'), 'utf8'), 'only');
});

test('shared folder: a list that is being carried out knows when another node has ended the upload', async (context) => {
  const { nodes, place } = await nodesOf(context);
  for (const nth of [0, 1, 2]) await stage(nodes[nth], nth, `old${nth}`);
  const read = () => AllBlocks.read('d1/x', place(), ids, { turns: new DiskTurns(place()), own: undefined });
  const blocks = await read();
  await blocks.list(ids);
  assert.equal(await blocks.areThere(), true);
  await nodes[1].put('d1/x', once('put'), options);
  assert.equal(await blocks.areThere(), false);
  await blocks.close();
});

test('folder: a hub that has it for itself again takes no older block where nodes have taken a newer one', async (context) => {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'mooring-files-'));
  context.after(() => rmSync(folder, { recursive: true }));
  const alone = await openFolderStore({ folder, clock: systemClock });
  await stage(alone, 0, 'old');
  await alone.close();
  const node = await openFolderStore({ folder, clock: systemClock, isShared: true });
  await stage(node, 0, 'new');
  await node.close();
  const again = await openFolderStore({ folder, clock: systemClock });
  await refused('unknownBlock', again.commit('d1/x', [numbered(0)], options));
  await again.close();
});
