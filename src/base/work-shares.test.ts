import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WorkShares } from './work-shares.ts';

/** Takes a place, or waits for one; says when it has it. */
function asking(shares: WorkShares) {
  const begun: string[] = [];
  return {
    begun,
    ask(key: string): 'begun' | 'waits' | 'refused' {
      if (shares.take(key)) {
        begun.push(key);
        return 'begun';
      }
      const turn = shares.turn(key);
      void turn?.then(() => begun.push(key));
      return turn === undefined ? 'refused' : 'waits';
    },
    async settled(): Promise<void> {
      await Promise.resolve();
      await Promise.resolve();
    },
  };
}

test('what is beyond a share waits for the same key alone, and is refused when too much waits', async () => {
  const shares = new WorkShares({ max: 100, perKeyMax: 2, waitingMax: 3 });
  const { ask, begun, settled } = asking(shares);
  assert.deepEqual(
    Array.from({ length: 6 }, () => ask('a')),
    ['begun', 'begun', 'waits', 'waits', 'waits', 'refused'],
  );
  assert.equal(ask('b'), 'begun');
  assert.equal(shares.waitingOf('a'), 3);
  shares.give('b');
  await settled();
  assert.equal(begun.length, 3, 'what another gives back is not for a key with all of its share');
  for (let given = 1; given <= 3; given++) {
    shares.give('a');
    assert.equal(ask('a'), 'waits', 'behind those who wait');
    await settled();
    assert.equal(begun.length, 3 + given);
    assert.equal(shares.heldBy('a'), 2);
  }
  assert.equal(shares.waitingOf('a'), 3);
});

test('where all places are taken, keys with less than their share come in turn', async () => {
  const shares = new WorkShares({ max: 4, perKeyMax: 4, waitingMax: 10 });
  const { ask, begun, settled } = asking(shares);
  for (let count = 0; count < 10; count++) ask('a');
  for (let count = 0; count < 3; count++) ask('b');
  for (let count = 0; count < 3; count++) ask('c');
  begun.length = 0;
  for (const key of ['a', 'a', 'a', 'a']) {
    shares.give(key);
    await settled();
  }
  assert.deepEqual(begun, ['b', 'c', 'a', 'b']);
});

test('the reserve is for a key that holds little, also when one that holds much waits before it', async () => {
  const shares = new WorkShares({ max: 6, perKeyMax: 10, reserve: 2, reservedPerKey: 1, waitingMax: 10 });
  const { ask, begun, settled } = asking(shares);
  for (let count = 0; count < 6; count++) ask('a');
  assert.equal(shares.used, 4);
  assert.deepEqual(['b', 'c', 'd'].map(ask), ['begun', 'begun', 'waits']);
  begun.length = 0;
  shares.give('b');
  await settled();
  assert.deepEqual(begun, ['d']);
  assert.equal(shares.used, 6);
});

test('everything that waits gets its turn, and nothing is left behind', async () => {
  const shares = new WorkShares({ max: 7, perKeyMax: 3, reserve: 2, reservedPerKey: 1, waitingMax: 1000 });
  let [underWay, most, done] = [0, 0, 0];
  const one = async (key: string): Promise<void> => {
    if (!shares.take(key)) await shares.turn(key);
    most = Math.max(most, ++underWay);
    for (let turn = 0; turn < (done % 3) + 1; turn++) await Promise.resolve();
    underWay--;
    done++;
    shares.give(key);
  };
  await Promise.all(Array.from({ length: 2000 }, (_, nth) => one(`k${nth % 9}`)));
  assert.equal(done, 2000);
  assert.ok(most <= 7, `${most}`);
  assert.equal(shares.used, 0);
  for (let key = 0; key < 9; key++) assert.equal(shares.waitingOf(`k${key}`), 0);
});
