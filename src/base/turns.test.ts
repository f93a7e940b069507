import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Turns } from './turns.ts';

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('a turn of the loop has so much work; the rest waits for the next ones', async () => {
  const turns = new Turns(() => 10);
  assert.equal(turns.take('a', 9), undefined);
  assert.equal(turns.take('a', 9), undefined, 'what begins within a turn may go beyond it');
  const done: number[] = [];
  for (let nth = 0; nth < 4; nth++) void turns.take('a', 5)?.then(() => done.push(nth));
  await Promise.resolve();
  assert.deepEqual(done, []);
  await nextTurn();
  assert.deepEqual(done, [0, 1]);
  await nextTurn();
  assert.deepEqual(done, [0, 1, 2, 3]);
  await nextTurn();
  assert.equal(turns.take('a', 1), undefined, 'nobody waits any more');
});

test('who asks for much waits for himself', async () => {
  const turns = new Turns(() => 10);
  const done: string[] = [];
  for (let nth = 0; nth < 100; nth++) void turns.take('greedy', 10)?.then(() => done.push('greedy'));
  for (const key of ['b', 'c']) void turns.take(key, 1)?.then(() => done.push(key));
  for (let turn = 0; turn < 3; turn++) await nextTurn();
  assert.deepEqual(done.slice(0, 5), ['greedy', 'b', 'c', 'greedy', 'greedy'].slice(0, done.length));
  assert.ok(done.includes('b') && done.includes('c'));
});

test('a turn without room for work is a fault, not a wait for ever', () => {
  const turns = new Turns(() => 0);
  assert.throws(() => turns.take('a', 1), /a turn has room for work/);
});
