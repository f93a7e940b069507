import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Shares } from './shares.ts';

test('one key has its share at most, and gets again what it has given back', () => {
  const shares = new Shares({ max: 100, perKeyMax: 10 });
  assert.ok(shares.take('a', 10));
  assert.ok(!shares.take('a'));
  shares.give('a', 4);
  assert.ok(shares.take('a', 4));
  assert.ok(!shares.take('b', 11), 'more than a share at once');
  assert.equal(shares.used, 10);
});

test('when keys with full shares have taken the rest, the reserve is there for those that hold little', () => {
  const shares = new Shares({ max: 40, perKeyMax: 10, reserve: 10, reservedPerKey: 2 });
  for (const key of ['a', 'b', 'c']) assert.ok(shares.take(key, 10));
  assert.ok(!shares.take('d', 3), 'the reserve is not for more than a little');
  for (const key of ['d', 'e', 'f', 'g', 'h']) assert.ok(shares.take(key, 2), key);
  assert.ok(!shares.take('i'), 'there is no more than all');
  assert.equal(shares.used, 40);
});

test('what all have given back leaves nothing behind', () => {
  const shares = new Shares({ max: 10, perKeyMax: 10 });
  for (let key = 0; key < 1000; key++) {
    assert.ok(shares.take(String(key), 7));
    shares.give(String(key), 7);
  }
  assert.equal(shares.used, 0);
  assert.equal(shares.heldBy('5'), 0);
});
