import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../../base/clock.ts';
import { Deadlines } from './deadlines.ts';

test('each item falls due after its own time, once, and not when it was deleted', () => {
  const clock = new VirtualClock();
  const due: [string, number][] = [];
  const deadlines = new Deadlines<string>(clock, 1000, (item) => due.push([item, clock.monotonic()]));
  deadlines.add('a');
  clock.advance(400);
  deadlines.add('b');
  deadlines.add('c');
  clock.advance(500);
  deadlines.delete('b');
  clock.advance(5000);
  assert.deepEqual(due, [
    ['a', 1000],
    ['c', 1400],
  ]);
  // The one that was armed last has nothing to do; what comes behind it has its time again.
  deadlines.add('d');
  clock.advance(999);
  deadlines.delete('d');
  deadlines.add('e');
  clock.advance(1000);
  assert.deepEqual(due.at(-1), ['e', 7899]);
  assert.equal(deadlines.size, 0);
});

test('what an item adds when it falls due waits its whole time', () => {
  const clock = new VirtualClock();
  const due: number[] = [];
  const deadlines: Deadlines<number> = new Deadlines(clock, 100, (item) => {
    due.push(clock.monotonic());
    if (item < 3) deadlines.add(item + 1);
  });
  deadlines.add(1);
  clock.advance(1000);
  assert.deepEqual(due, [100, 200, 300]);
});
