/** Folder stores of several nodes over one folder: whichever takes a block, and whichever is asked for what. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { systemClock } from '../../../base/clock.ts';
import { limits } from '../../../base/limits.ts';
import { ObjectError, type ObjectErrorKind, type ObjectStore } from '../../../core/files/object-store.ts';
import { inTurn, objectStoreContract } from '../../contract/object-store.ts';
import { openFolderStore } from './folder-store.ts';

const newFolder = (): string => mkdtempSync(path.join(os.tmpdir(), 'mooring-files-'));
const openNode = (folder: string): Promise<ObjectStore> =>
  openFolderStore({ folder, clock: systemClock, isShared: true });

for (const count of [1, 3]) {
  objectStoreContract(`shared folder, asked at ${count} in turn`, async () => {
    const folder = newFolder();
    const open = () => Promise.all(Array.from({ length: count }, () => openNode(folder)));
    let nodes = await open();
    const closeAll = () => Promise.all(nodes.map((node) => node.close()));
    return {
      store: inTurn(nodes),
      async reopen() {
        await closeAll();
        nodes = await open();
        return inTurn(nodes);
      },
      async close() {
        await closeAll();
        rmSync(folder, { recursive: true });
      },
    };
  });
}

/** Stores of so many nodes over one folder. */
async function nodesOf(context: TestContext, count: number) {
  const folder = newFolder();
  const nodes = await Promise.all(Array.from({ length: count }, () => openNode(folder)));
  const slow: (() => void)[] = [];
  context.after(async () => {
    for (const goOn of slow) goOn();
    await Promise.all(nodes.map((node) => node.close()));
    rmSync(folder, { recursive: true });
  });
  return {
    folder,
    nodes,
    /** Content whose second half is sent when it is said. */
    slowly(first: string, second: string) {
      const [going, begun] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
      async function* source(): AsyncGenerator<Uint8Array> {
        yield Buffer.from(first);
        begun.resolve();
        await going.promise;
        yield Buffer.from(second);
      }
      slow.push(going.resolve);
      return { source: source(), begun: begun.promise, goOn: going.resolve };
    },
    stored: (objectPath: string) => readFileSync(path.join(folder, objectPath), 'utf8'),
    staged: () => readdirSync(path.join(folder, '.staging')),
    async open() {
      const node = await openNode(folder);
      nodes.push(node);
      return node;
    },
  };
}

async function* once(bytes: Uint8Array | string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(bytes);
}

const numbered = (nth: number): string => Buffer.from(`id${String(nth).padStart(6, '0')}`).toString('base64');
const list = (...numbers: readonly number[]): readonly string[] => numbers.map(numbered);
const plain = { bytesMax: 1e9, contentType: 'text/plain', condition: {} };
const stage = (node: ObjectStore, objectPath: string, nth: number, content: string) =>
  node.stage(objectPath, numbered(nth), once(content), { bytesMax: 1e9, bytes: content.length });
const refused = (kind: ObjectErrorKind, work: Promise<unknown>): Promise<void> =>
  assert.rejects(work, (error) => error instanceof ObjectError && error.kind === kind);

test('shared folder: a block that came again at another node is the newest, whoever has the list', async (context) => {
  const { nodes, stored, staged } = await nodesOf(context, 2);
  for (const [nth, committer] of [0, 1, 0, 1].entries()) {
    const objectPath = `d1/${nth}`;
    const [first, second] = nth < 2 ? nodes : [nodes[1], nodes[0]];
    await stage(first, objectPath, 0, 'old0');
    await stage(first, objectPath, 1, 'old1');
    await stage(second, objectPath, 0, 'NEW0');
    await nodes[committer].commit(objectPath, list(0, 1), plain);
    assert.equal(stored(objectPath), 'NEW0old1');
    // To and fro, in files that are there already.
    for (const [turn, node] of [first, second, first, second, first].entries()) {
      await stage(node, objectPath, 0, `put${turn}`);
      await stage(node, objectPath, 1, 'last');
    }
    await nodes[committer].commit(objectPath, list(0, 1), plain);
    assert.equal(stored(objectPath), 'put4last');
  }
  assert.deepEqual(staged(), [], 'nothing is left of them');
});

test('shared folder: blocks that all came to the node which has the list are not copied', async (context) => {
  const { folder, nodes, staged, stored } = await nodesOf(context, 2);
  for (const nth of [1, 0, 2]) await stage(nodes[0], 'd1/x', nth, `part${nth}`);
  const place = path.join(folder, '.staging', staged()[0]);
  const [data] = readdirSync(place).filter((name) => name.startsWith('data-'));
  const { ino } = statSync(path.join(place, data));
  await nodes[0].commit('d1/x', list(0, 1, 2), plain);
  assert.equal(stored('d1/x'), 'part0part1part2');
  assert.equal(statSync(path.join(folder, 'd1', 'x')).ino, ino);
});

test('shared folder: what a node had for itself, and left unfinished, is committed by nodes that share it', async (context) => {
  const folder = newFolder();
  const alone = await openFolderStore({ folder, clock: systemClock });
  for (const nth of [0, 1, 2]) await stage(alone, 'd1/x', nth, `old${nth}`);
  await alone.close();
  const nodes = [await openNode(folder), await openNode(folder)];
  context.after(async () => {
    await Promise.all(nodes.map((node) => node.close()));
    rmSync(folder, { recursive: true });
  });
  await stage(nodes[0], 'd1/x', 1, 'NEW1');
  await nodes[1].commit('d1/x', list(0, 1, 2), plain);
  assert.equal(readFileSync(path.join(folder, 'd1', 'x'), 'utf8'), 'old0NEW1old2');
  assert.deepEqual(readdirSync(path.join(folder, '.staging')), []);
});

test('shared folder: a node that starts leaves alone what others have under way', async (context) => {
  const { nodes, open, slowly, stored } = await nodesOf(context, 2);
  const [whole, block] = [slowly('who', 'le'), slowly('blo', 'ck')];
  const put = nodes[0].put('d1/whole', whole.source, plain);
  const staging = nodes[1].stage('d1/blocks', numbered(0), block.source, { bytesMax: 1e9, bytes: 5 });
  await Promise.all([whole.begun, block.begun]);
  const third = await open();
  await third.expire(Date.now() - 60_000);
  for (const { goOn } of [whole, block]) goOn();
  await Promise.all([put, staging]);
  assert.equal(stored('d1/whole'), 'whole');
  await third.commit('d1/blocks', list(0), plain);
  assert.equal(stored('d1/blocks'), 'block');
});

test('shared folder: who reads at one node has the whole file, also when another node replaces or removes it', async (context) => {
  const { nodes, staged } = await nodesOf(context, 2);
  const old = randomBytes(3 * limits.fileDiscardBytes + 1);
  await nodes[0].put('d1/x', once(old), plain);
  const readers = [await nodes[0].read('d1/x'), await nodes[0].read('d1/x')];
  const begun = readers[1]?.body[Symbol.asyncIterator]();
  const first = Buffer.from((await begun?.next())?.value ?? []);
  await nodes[1].put('d1/x', once('new'), plain);
  assert.equal(await nodes[1].delete('d1/x'), true);
  assert.deepEqual(staged(), []);
  const bytes: Buffer[][] = [[], [first]];
  for await (const piece of readers[0]?.body ?? []) bytes[0].push(Buffer.from(piece));
  for (let piece = await begun?.next(); piece?.done === false; piece = await begun?.next()) {
    bytes[1].push(Buffer.from(piece.value));
  }
  for (const pieces of bytes) assert.ok(Buffer.concat(pieces).equals(old));
});

test('shared folder: a block on its way when its upload ends at another node is refused, and taken anew', async (context) => {
  const { nodes, slowly, stored, staged } = await nodesOf(context, 2);
  const endings: readonly ((node: ObjectStore) => Promise<unknown>)[] = [
    (node) => node.commit('d1/x', list(0), plain),
    (node) => node.put('d1/x', once('put'), plain),
    (node) => node.deleteAll('d1/'),
    (node) => node.expire(Date.now() + 60_000),
  ];
  for (const end of endings) {
    await stage(nodes[0], 'd1/x', 0, 'old0');
    const { source, begun, goOn } = slowly('ol', 'd1');
    const late = nodes[0].stage('d1/x', numbered(1), source, { bytesMax: 1e9, bytes: 4 });
    await begun;
    await end(nodes[1]);
    goOn();
    await refused('unavailable', late);
    await refused('unknownBlock', nodes[0].commit('d1/x', list(0, 1), plain));
    await stage(nodes[0], 'd1/x', 1, 'new1');
    await refused('unknownBlock', nodes[1].commit('d1/x', list(0, 1), plain));
    await stage(nodes[1], 'd1/x', 0, 'new0');
    await nodes[0].commit('d1/x', list(0, 1), plain);
    assert.equal(stored('d1/x'), 'new0new1');
    assert.deepEqual(staged(), []);
  }
});

test('shared folder: blocks of a node that was killed are committed by others, or dropped in time', async (context) => {
  const { folder, nodes, stored, staged } = await nodesOf(context, 2);
  const killed = await openNode(folder);
  await stage(killed, 'd1/x', 0, 'one.');
  await stage(nodes[0], 'd1/x', 1, 'two.');
  await stage(killed, 'd1/left', 0, 'left');
  // What it was storing.
  writeFileSync(path.join(folder, '.staging', 'put-0'), 'half');
  await nodes[1].commit('d1/x', list(0, 1), plain);
  assert.equal(stored('d1/x'), 'one.two.');
  await nodes[1].expire(Date.now() - 60_000);
  assert.equal(staged().length, 2);
  await nodes[1].expire(Date.now() + 60_000);
  assert.deepEqual(staged(), []);
  await refused('unknownBlock', nodes[0].commit('d1/left', list(0), plain));
});

test('shared folder: a node that was killed while it removed blocks leaves no list that takes an older one', async (context) => {
  const { folder, nodes, stored, staged } = await nodesOf(context, 3);
  const contents = async (objectPath: string): Promise<string> => {
    for (const [nth, node] of nodes.entries()) await stage(node, objectPath, 0, `new${nth}`);
    await stage(nodes[0], objectPath, 1, 'last');
    return path.join(folder, '.staging', staged()[0]);
  };
  for (let removed = 0; removed <= 6; removed++) {
    const objectPath = `d1/${removed}`;
    const place = await contents(objectPath);
    const names = readdirSync(place);
    const inOrder = [...names.filter((name) => /^data/.test(name)), ...names.filter((name) => /^index/.test(name))];
    for (const name of inOrder.slice(0, removed)) rmSync(path.join(place, name));
    const outcome = await nodes[removed % 3].commit(objectPath, list(0, 1), plain).then(
      () => stored(objectPath),
      (error) => error.kind,
    );
    assert.ok(removed === 0 ? outcome === 'new2last' : ['new2last', 'unknownBlock'].includes(outcome), outcome);
    await nodes[0].expire(Date.now() + 60_000);
    assert.deepEqual(staged(), []);
  }
});

test('shared folder: where the bytes of a block cannot be removed, all that is known of blocks stays', async (context) => {
  const { folder, nodes, stored, staged } = await nodesOf(context, 3);
  for (const [nth, node] of nodes.entries()) await stage(node, 'd1/x', 0, `new${nth}`);
  const place = path.join(folder, '.staging', staged()[0]);
  const names = readdirSync(place);
  const [data] = names.filter((name) => name.startsWith('data-'));
  rmSync(path.join(place, data));
  mkdirSync(path.join(place, data));
  await refused('unavailable', nodes[0].put('d1/x', once('put'), plain));
  const isIndex = (name: string): boolean => name.startsWith('index-');
  assert.deepEqual(readdirSync(place).filter(isIndex), names.filter(isIndex));
  rmSync(path.join(place, data), { recursive: true });
  // The newest, or none.
  await nodes[1].commit('d1/x', list(0), plain).catch((error) => assert.equal(error.kind, 'unknownBlock'));
  assert.ok(['put', 'new2'].includes(stored('d1/x')));
  await nodes[0].put('d1/x', once('again'), plain);
  assert.equal(stored('d1/x'), 'again');
  assert.deepEqual(staged(), []);
});

test('shared folder: one list at two nodes at the same time makes the file it says', async (context) => {
  const { nodes, stored, staged } = await nodesOf(context, 2);
  for (let round = 0; round < 30; round++) {
    const objectPath = `d1/${round}`;
    for (const nth of [0, 1, 2, 3])
      await stage(nodes[round % 3 === 0 ? 0 : nth % 2], objectPath, nth, `b${nth}.${round}`);
    const outcomes = await Promise.allSettled(nodes.map((node) => node.commit(objectPath, list(0, 1, 2, 3), plain)));
    const kinds = outcomes.map((each) => (each.status === 'fulfilled' ? 'stored' : each.reason.kind));
    assert.ok(kinds.includes('stored'), `${kinds}`);
    assert.ok(
      kinds.every((kind) => ['stored', 'unknownBlock', 'unavailable'].includes(kind)),
      `${kinds}`,
    );
    assert.equal(stored(objectPath), [0, 1, 2, 3].map((nth) => `b${nth}.${round}`).join(''));
    assert.deepEqual(staged(), []);
  }
});

test('shared folder: what a node has taken and another has stored takes no place at the first any more', async (context) => {
  const { nodes } = await nodesOf(context, 2);
  for (let nth = 0; nth < 10; nth++) await stage(nodes[0], `d1/${nth}`, 0, 'x');
  for (let nth = 0; nth < 9; nth++) await nodes[1].commit(`d1/${nth}`, list(0), plain);
  assert.equal(await nodes[0].stagedBytes('d1/0'), 0);
  await nodes[0].expire(Date.now() - 60_000);
  assert.equal((await nodes[0].usage(''))?.bytes, 1);
  await nodes[0].commit('d1/9', list(0), plain);
  assert.equal((await nodes[0].usage(''))?.bytes, 1);
  // Also where the same file is begun again and again.
  for (let round = 0; round < 5; round++) {
    for (const node of nodes) await stage(node, 'd2/x', 0, 'x');
    await nodes[1].commit('d2/x', list(0), plain);
    await stage(nodes[0], 'd2/x', 0, 'x');
    assert.equal((await nodes[0].usage(''))?.bytes, 2, 'one file, one block');
  }
});

test('shared folder: a block whose id is longer than those of another node leaves nothing on the disk', async (context) => {
  const { folder, nodes, staged, stored } = await nodesOf(context, 2);
  await stage(nodes[0], 'd1/x', 0, 'block');
  const content = Buffer.alloc(64 * 1024);
  for (let tries = 0; tries < 5; tries++) {
    const id = Buffer.from(`longer id ${tries}`).toString('base64');
    await refused('blockId', nodes[1].stage('d1/x', id, once(content), { bytesMax: 1e9, bytes: content.length }));
  }
  const place = path.join(folder, '.staging', staged()[0]);
  const sizes = readdirSync(place).flatMap((name) =>
    name.startsWith('data') ? statSync(path.join(place, name)).size : [],
  );
  assert.equal(Math.max(...sizes), 'block'.length);
  await nodes[1].commit('d1/x', list(0), plain);
  assert.equal(stored('d1/x'), 'block');
});

test('shared folder: what another node has stored and removed is counted in time', async (context) => {
  const folder = newFolder();
  let now = 0;
  const clock = { ...systemClock, monotonic: () => now };
  const [first, second] = [
    await openFolderStore({ folder, clock, isShared: true }),
    await openFolderStore({ folder, clock, isShared: true }),
  ];
  context.after(async () => {
    for (const node of [first, second]) await node.close();
    rmSync(folder, { recursive: true });
  });
  await first.put('d1/mine', once('mine'), plain);
  await stage(first, 'd1/blocks', 0, 'block');
  await second.put('d1/theirs', once('their files'), plain);
  await second.delete('d1/mine');
  await first.expire(0);
  assert.deepEqual(await first.usage('d1/'), { bytes: 9, objects: 1 }, 'as this node knows it');
  now += limits.fileUsageCountMs;
  await first.expire(0);
  for (const prefix of ['d1/', '']) assert.deepEqual(await first.usage(prefix), { bytes: 16, objects: 1 });
  await first.commit('d1/blocks', list(0), plain);
  assert.deepEqual(await first.usage(''), { bytes: 16, objects: 2 });
});
