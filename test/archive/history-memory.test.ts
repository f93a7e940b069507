/** Memory of groups of history: used again when nobody has an answer of it, and never before. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits } from '../../src/base/limits.ts';
import { HistoryGroups } from '../../src/core/archive/history-groups.ts';
import type { ArchiveStore, HistoryFiles, HistoryGroup } from '../../src/core/archive/ports.ts';
import type { ListedFile } from '../../src/core/archive/types.ts';
import type { EventRun } from '../../src/core/events/types.ts';

const GROUP_BYTES = 4 * 1024 * 1024;
/** That many fit into what is kept of them. */
const FIT = limits.historyBytesMax / GROUP_BYTES;
const GROUPS = FIT + 10;
const file = { path: 'one', bytes: 1, first: 0, last: GROUPS - 1 } as ListedFile;
const groups: readonly HistoryGroup[] = Array.from({ length: GROUPS }, (_, nth) => ({
  ...{ firstRow: nth, rows: 1, firstSequence: nth, lastSequence: nth, firstTime: nth, lastTime: nth },
}));

/** A file with one record a group, whose bytes all are the group's number. Memory goes to and from another thread, as it does in a hub. */
function opened(): {
  readonly history: HistoryGroups;
  readonly reused: readonly number[];
  readonly read: readonly number[];
} {
  const reused: number[] = [];
  const readGroups: number[] = [];
  const files: HistoryFiles = {
    open: async () => ({
      groups,
      async read({ firstRow: nth }, memory) {
        readGroups.push(nth);
        if (memory !== undefined) reused.push(nth);
        await new Promise((resolve) => setImmediate(resolve));
        const own =
          memory === undefined ? new ArrayBuffer(GROUP_BYTES) : structuredClone(memory, { transfer: [memory] });
        const bytes = Buffer.from(own);
        bytes.writeUInt32LE(GROUP_BYTES - 4, 0);
        bytes.fill(nth + 1, 4);
        return [{ firstSequence: nth, count: 1, time: nth, bytes, start: 0, end: GROUP_BYTES }];
      },
    }),
  };
  return { history: new HistoryGroups(files, () => store), reused, read: readGroups };
}

/** It is only there to be the same one. */
const store = {} as ArchiveStore;

async function take(history: HistoryGroups, nth: number): Promise<readonly EventRun[]> {
  await history.opened(file);
  return history.read(file, groups[nth], [nth, nth + 1, GROUP_BYTES]);
}

function check(answer: readonly EventRun[], nth: number): void {
  const [{ bytes, start, end }] = answer;
  assert.equal(end - start, GROUP_BYTES);
  for (const at of [4, 5, 1000, GROUP_BYTES / 2, GROUP_BYTES - 1]) assert.equal(bytes[start + at], nth + 1);
}

test('a reader that gives back what it has read goes on in memory that was used before', async () => {
  const { history, reused } = opened();
  for (let nth = 0; nth < GROUPS; nth++) {
    const answer = await take(history, nth);
    check(answer, nth);
    history.giveBack(answer);
    history.giveBack(answer);
  }
  // The first one that has to go does so with the first that is too many.
  assert.deepEqual(
    reused,
    groups.slice(FIT + 1).map(({ firstRow }) => firstRow),
  );
});

test('an answer that was not given back stays as it is, however much is read meanwhile', async () => {
  const { history, reused } = opened();
  const kept = [await take(history, 0), await take(history, 0), await take(history, 1)];
  for (let round = 0; round < 2; round++) {
    for (let nth = 2; nth < GROUPS; nth++) history.giveBack(await take(history, nth));
  }
  assert.ok(reused.length > GROUPS);
  for (const [at, nth] of [0, 0, 1].entries()) check(kept[at], nth);
  history.giveBack(kept[0]);
  for (let nth = 2; nth < GROUPS; nth++) history.giveBack(await take(history, nth));
  check(kept[1], 0);
});

test('many readers that hold answers for as long as they like get what they asked for', async () => {
  const { history, reused } = opened();
  let turns = 0;
  await Promise.all(
    Array.from({ length: 12 }, async (_, reader) => {
      for (let step = 0; step < 40; step++) {
        const nth = (reader * 7 + step * (1 + (reader % 3))) % GROUPS;
        const answer = await take(history, nth);
        for (let wait = (reader * step) % 5; wait > 0; wait--) await new Promise((resolve) => setImmediate(resolve));
        check(answer, nth);
        history.giveBack(answer);
        turns++;
      }
    }),
  );
  assert.equal(turns, 480);
  assert.ok(reused.length > 0);
});

test('of groups that many ask for and want no more, those are not read that nobody waits for', async () => {
  const { history, read } = opened();
  await history.opened(file);
  const ending = new AbortController();
  const ask = (nth: number) => history.read(file, groups[nth], [nth, nth + 1, GROUP_BYTES], ending.signal);
  const gone = [0, 1, 2, 3, 4, 5].map(ask);
  const stays = take(history, 3);
  const late = take(history, 7);
  ending.abort(new Error('the link has ended'));
  for (const answer of gone) await assert.rejects(answer, /the link has ended/);
  check(await stays, 3);
  check(await late, 7);
  // The first one's turn had come.
  assert.deepEqual(read, [0, 3, 7]);
  await assert.rejects(ask(8), /the link has ended/);
  check(await take(history, 5), 5);
  assert.deepEqual(read, [0, 3, 7, 5]);
});
