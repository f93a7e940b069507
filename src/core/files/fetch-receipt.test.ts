import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits } from '../../base/limits.ts';
import { FetchTellings, progressOf } from './fetch-receipt.ts';

test('a grant is told at first, when there is news, and from time to time', () => {
  const tellings = new FetchTellings();
  const every = limits.fileFetchedEveryMs;
  assert.equal(tellings.isDue('a', false, 0), true);
  assert.equal(tellings.isDue('a', false, every - 1), false);
  assert.equal(tellings.isDue('b', false, every - 1), true);
  assert.equal(tellings.isDue('a', true, every - 1), true);
  assert.equal(tellings.isDue('a', false, every + 1), false);
  assert.equal(tellings.isDue('a', false, 2 * every), true);
});

test('what was sent counts from the first byte on without a gap, and restarts with another file', () => {
  const sent = (start: number, count: number, etag = 'e') => ({ etag, bytes: 100, start, count, now: 7 });
  const first = progressOf(undefined, sent(0, 40));
  assert.deepEqual([first.sentBytes, first.completedTime], [40, undefined]);
  assert.equal(progressOf(first, sent(50, 50)).sentBytes, 40, 'there is a gap');
  assert.equal(progressOf(first, sent(10, 10)).sentBytes, 40);
  const whole = progressOf(first, sent(40, 60));
  assert.deepEqual([whole.sentBytes, whole.completedTime], [100, 7]);
  assert.deepEqual(progressOf(whole, sent(0, 5, 'other')).sentBytes, 5);
});
