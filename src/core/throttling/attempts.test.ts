import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { Attempts } from './attempts.ts';

const places = limits.slowRefusalsPerAddressMax;

/** How many attempts that are begun now get a place before anybody else has been judged. */
async function placesNow(attempts: Attempts): Promise<number> {
  let got = 0;
  for (let nth = 0; nth < 2 * places; nth++) void attempts.begin('a').then((isJudged) => isJudged && got++);
  for (let turn = 0; turn < 10; turn++) await Promise.resolve();
  return got;
}

test('who has waited counts for its address, also where nobody else was there when its turn came', async () => {
  const clock = new VirtualClock();
  const attempts = new Attempts(clock);
  for (let nth = 0; nth < places - 1; nth++) {
    await attempts.begin('a');
    attempts.end('a', 1000);
  }
  await attempts.begin('a');
  const waiter = attempts.begin('a');
  clock.advance(2000);
  attempts.end('a', 0);
  assert.equal(await waiter, true);
  assert.equal(await attempts.begin('a'), true);
  for (let nth = 0; nth < 2; nth++) attempts.end('a', 1000);
  assert.equal(await placesNow(attempts), places - 2);
});

test('as many of those that wait get on as places are free, not one after the other', async () => {
  const clock = new VirtualClock();
  const attempts = new Attempts(clock);
  for (let nth = 0; nth < places - 1; nth++) {
    await attempts.begin('a');
    attempts.end('a', 1000);
  }
  await attempts.begin('a');
  let got = 0;
  for (let nth = 0; nth < places; nth++) void attempts.begin('a').then(() => got++);
  clock.advance(2000);
  attempts.end('a', 0);
  for (let turn = 0; turn < 10; turn++) await Promise.resolve();
  assert.equal(got, places);
});
