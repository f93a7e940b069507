import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from './random.ts';
import { ReplayWindow } from './replay-window.ts';

test('each number is taken once, late ones as far back as the window goes', () => {
  for (let seed = 1; seed <= 20; seed++) {
    const random = seededRandom(seed);
    const window = new ReplayWindow(32);
    const taken = new Set<number>();
    let newest = -1;
    for (let step = 0; step < 500; step++) {
      const number = Math.max(0, newest - 40 + Math.floor(random.next() * (random.next() < 0.05 ? 200 : 60)));
      const isFresh = !taken.has(number) && number > newest - 32;
      assert.equal(window.isFresh(number), isFresh, `seed ${seed}, ${number} after ${newest}`);
      if (!isFresh) continue;
      window.take(number);
      taken.add(number);
      newest = Math.max(newest, number);
    }
  }
});

test('a window that begins at a number takes nothing at or before it', () => {
  const window = new ReplayWindow(32, 100);
  for (const number of [0, 69, 99, 100]) assert.equal(window.isFresh(number), false);
  assert.equal(window.isFresh(101), true);
  const far = new ReplayWindow(32, 2 ** 39);
  far.take(2 ** 39 + 2);
  assert.equal(far.isFresh(2 ** 39 + 1), true);
  assert.equal(far.isFresh(2 ** 39 + 2), false);
});
