import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Shares } from '../../base/shares.ts';
import { LiveSet, type LiveSums } from './live-set.ts';

test('one policy takes no more than its part of the rows of all live queries, and gives back what it holds', () => {
  const sums: LiveSums = { rows: new Shares({ max: 5, perKeyMax: 3 }), chars: 0 };
  const setOf = (share: string): LiveSet => {
    const set = new LiveSet(1, share, { from: 'devices', parts: 1 }, sums);
    set.begin('new');
    return set;
  };
  const rows = (count: number) =>
    Array.from({ length: count }, (_, n) => ({ place: { deviceId: `d${n}`, moduleId: '' }, text: '{}', digest: 'x' }));
  const greedy = [setOf('one'), setOf('one')];
  greedy[0].read({ rows: rows(3), end: undefined });
  assert.equal(greedy[0].isFull, false);
  greedy[1].read({ rows: rows(1), end: undefined });
  assert.equal(greedy[1].isFull, true, 'its policy has its part');
  const other = setOf('other');
  other.read({ rows: rows(2), end: undefined });
  assert.equal(other.isFull, false, 'there is room for others');
  assert.equal(sums.rows.used, 5);
  greedy[0].see({ deviceId: 'd1', moduleId: '' }, 'd1/', undefined);
  assert.equal(sums.rows.heldBy('one'), 2);
  for (const set of [...greedy, other]) set.end();
  assert.deepEqual([sums.rows.used, sums.chars], [0, 0]);
});
