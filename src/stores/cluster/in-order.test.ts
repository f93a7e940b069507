import assert from 'node:assert/strict';
import { test } from 'node:test';
import { InOrder } from './in-order.ts';

test('what has a key in common runs in the order of the calls, also behind what fails; what has not runs meanwhile', async () => {
  const inOrder = new InOrder();
  const heard: string[] = [];
  const ends = new Map<string, (error?: Error) => void>();
  const run = (name: string, keys: readonly string[]): Promise<void> =>
    inOrder.run(keys, () => {
      heard.push(name);
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      ends.set(name, (error) => (error === undefined ? resolve() : reject(error)));
      return promise;
    });
  const turns = async (): Promise<void> => {
    for (let turn = 0; turn < 20; turn++) await undefined;
  };
  const end = async (name: string, error?: Error): Promise<void> => {
    ends.get(name)?.(error);
    await turns();
  };
  const all = [run('a', ['1']), run('b', ['2']), run('ab', ['1', '2', '3']), run('c', ['3']), run('d', ['4'])];
  const settled = Promise.allSettled(all);
  await turns();
  assert.deepEqual(heard, ['a', 'b', 'd']);
  await end('a', new Error('it failed'));
  assert.deepEqual(heard, ['a', 'b', 'd']);
  await end('b');
  assert.deepEqual(heard, ['a', 'b', 'd', 'ab']);
  await end('ab');
  assert.deepEqual(heard, ['a', 'b', 'd', 'ab', 'c']);
  for (const name of ['c', 'd']) await end(name);
  assert.deepEqual(
    (await settled).map(({ status }) => status),
    ['rejected', 'fulfilled', 'fulfilled', 'fulfilled', 'fulfilled'],
  );
});
