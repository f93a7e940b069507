/**
 * Several processes keep files in one folder, and are killed at any moment while clients upload in blocks: what a client was
 * told is stored holds the newest bytes of each block, and a list whose answer was lost is answered in the end.
 */
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { seededRandom } from '../../src/base/random.ts';
import { type StoreCall, type StoreOutcome, StoreProcess } from '../drivers/store-process.ts';

const NODES = 3;
const CLIENTS = 6;
const UPLOADS = Number(process.env.MOORING_TEST_UPLOADS ?? 12);
const TRIES_MAX = 500;
const idOf = (nth: number): string => Buffer.from(`id${String(nth).padStart(6, '0')}`).toString('base64');

test('no block is lost or older than it was, whichever process takes it and whichever is killed', async (context) => {
  const seed = Number(process.env.MOORING_TEST_SEED ?? randomInt(2 ** 31));
  context.diagnostic(`seed ${seed}`);
  const random = seededRandom(seed);
  const below = (count: number): number => Math.floor(random.next() * count);
  const folder = mkdtempSync(path.join(tmpdir(), 'mooring-files-kills-'));
  const nodes = await Promise.all(Array.from({ length: NODES }, () => StoreProcess.start(folder)));
  context.after(async () => {
    await Promise.all(nodes.map((node) => node.kill()));
    rmSync(folder, { recursive: true });
  });
  const counts = { kills: 0, stored: 0, unknown: 0, repeated: 0 };

  /** At any process, again and again until one has an answer; what was answered before it. */
  async function ask(call: StoreCall): Promise<{ readonly outcome: StoreOutcome; readonly isRepeated: boolean }> {
    for (let tries = 0; tries < TRIES_MAX; tries++) {
      const outcome = await nodes[below(NODES)].call(call);
      if (outcome !== 'dead' && outcome !== 'unavailable') return { outcome, isRepeated: tries > 0 };
      counts.unknown += 1;
      await pause(10);
    }
    assert.fail(`${call.what} had no answer`);
  }

  async function upload(objectPath: string, round: number): Promise<void> {
    const blocks = new Map<number, string>();
    for (let step = 0; step < 1 + below(4); step++) {
      const ids = [...new Set(Array.from({ length: 1 + below(4) }, () => below(6)))];
      await Promise.all(
        ids.map(async (nth) => {
          const text = `${objectPath} ${round}.${step}.${nth} ${'x'.repeat(below(2000))};`;
          const { outcome } = await ask({ what: 'stage', path: objectPath, id: idOf(nth), text });
          assert.equal(outcome, 'done');
          blocks.set(nth, text);
        }),
      );
    }
    const named = [...blocks.keys()].sort();
    // One whose answer was lost may have been carried out, by a process that was killed while it removed the blocks.
    const { outcome, isRepeated } = await ask({
      what: 'commit',
      path: objectPath,
      ids: named.map(idOf),
      upload: String(round),
    });
    assert.equal(outcome, 'done', `${objectPath}, upload ${round}`);
    if (isRepeated) counts.repeated += 1;
    counts.stored += 1;
    const file = path.join(folder, objectPath);
    const expected = named.map((nth) => blocks.get(nth)).join('');
    assert.equal(existsSync(file) && readFileSync(file, 'utf8'), expected, `${objectPath}, upload ${round}`);
  }

  let isOver = false;
  const killing = (async () => {
    while (!isOver) {
      await pause(below(300));
      const nth = below(NODES);
      await nodes[nth].kill();
      counts.kills += 1;
      nodes[nth] = await StoreProcess.start(folder);
    }
  })();
  try {
    await Promise.all(
      Array.from({ length: CLIENTS }, async (_, client) => {
        for (let round = 0; round < UPLOADS; round++) await upload(`d${client % 2}/file-${client}`, round);
      }),
    );
  } finally {
    isOver = true;
    await killing;
  }
  context.diagnostic(JSON.stringify(counts));
  assert.equal(counts.stored, CLIENTS * UPLOADS);
  // What the killed have left is removed in time.
  assert.equal(await nodes[0].call({ what: 'expire', before: Date.now() + 60_000 }), 'done');
  assert.deepEqual(readdirSync(path.join(folder, '.staging')), []);
});
