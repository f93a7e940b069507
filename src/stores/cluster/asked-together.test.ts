import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits } from '../../base/limits.ts';
import { AskedTogether } from './asked-together.ts';

/** A store whose answers the test lets go, in the order of the batches. */
function heldStore() {
  const batches: { readonly keys: readonly number[]; readonly end: (error?: Error) => void }[] = [];
  const asked = new AskedTogether<number, string>((keys) => {
    const { promise, resolve, reject } = Promise.withResolvers<readonly string[]>();
    const end = (error?: Error): void =>
      error === undefined ? resolve(keys.map((key) => `of ${key}`)) : reject(error);
    batches.push({ keys, end });
    return promise;
  });
  return { asked, batches, sizes: () => batches.map(({ keys }) => keys.length) };
}

const turns = async (): Promise<void> => {
  for (let turn = 0; turn < 10; turn++) await undefined;
};

test('what is asked in one turn goes together; what comes while all that may are on their way is the next batch', async () => {
  const { asked, batches, sizes } = heldStore();
  const answers: Promise<string>[] = [asked.ask(0), asked.ask(1)];
  await turns();
  for (let key = 2; key < 10; key++) {
    answers.push(asked.ask(key));
    await turns();
  }
  assert.equal(limits.postgresBatchesMax, 2);
  assert.deepEqual(sizes(), [2, 1]);
  batches[1].end();
  await turns();
  assert.deepEqual(sizes(), [2, 1, 7]);
  for (const { end } of batches) end();
  assert.deepEqual(
    await Promise.all(answers),
    answers.map((_, key) => `of ${key}`),
  );
});

test('a batch has a bound, and one that fails fails by itself', async () => {
  const { asked, batches, sizes } = heldStore();
  const { postgresBatchMax: max } = limits;
  const answers = Array.from({ length: 2 * max + 5 }, (_, key) =>
    asked.ask(key).catch((error: Error) => error.message),
  );
  await turns();
  assert.deepEqual(sizes(), [max, max]);
  batches[0].end(new Error('gone'));
  await turns();
  assert.deepEqual(sizes(), [max, max, 5]);
  batches[1].end();
  batches[2].end();
  const told = await Promise.all(answers);
  assert.deepEqual(
    [told[0], told[max - 1], told[max], told.at(-1)],
    ['gone', 'gone', `of ${max}`, `of ${2 * max + 4}`],
  );
});
