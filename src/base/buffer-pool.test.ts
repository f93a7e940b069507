import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { BufferPool, pieceBytes } from './buffer-pool.ts';

const options = { bytesMin: 4096, bytesMax: 1 << 20, freeBytesMax: 1 << 20 };

test('what was given back is used again, by the next caller that asks for about as much', () => {
  const pool = new BufferPool(options);
  const first = pool.take(100_000);
  assert.equal(first.length, 100_000);
  pool.giveBack(first);
  assert.equal(pool.freeBytes, pieceBytes(100_000));
  const other = pool.take(40_000);
  assert.notEqual(other.buffer, first.buffer, 'a piece is not given for less than half of it');
  const again = pool.take(90_000);
  assert.equal(again.buffer, first.buffer);
  assert.equal(again.length, 90_000);
  assert.equal(pool.freeBytes, 0);
});

test('small buffers share their memory with others, so they are not kept', () => {
  const pool = new BufferPool(options);
  for (let bytes = 1; bytes < options.bytesMin; bytes *= 3) pool.giveBack(pool.take(bytes));
  assert.equal(pool.freeBytes, 0);
});

test('a buffer that is given back twice, or is of another pool, is not lent twice', () => {
  const pool = new BufferPool(options);
  const buffer = pool.take(8192);
  pool.giveBack(buffer);
  pool.giveBack(buffer);
  pool.giveBack(Buffer.alloc(8192));
  assert.notEqual(pool.take(8192).buffer, pool.take(8192).buffer);
});

test('no two who have a buffer share its memory, and what waits is bounded, in any order of taking and giving', () => {
  const step = fc.record({ take: fc.boolean(), bytes: fc.integer({ min: 1, max: 1_500_000 }), which: fc.nat() });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const pool = new BufferPool(options);
      const taken: { readonly buffer: Buffer; readonly mark: number }[] = [];
      for (const [at, { take, bytes, which }] of steps.entries()) {
        if (take || taken.length === 0) {
          const buffer = pool.take(bytes);
          assert.equal(buffer.length, bytes);
          buffer[0] = at;
          buffer[bytes - 1] = at;
          taken.push({ buffer, mark: at & 0xff });
        } else {
          const [{ buffer, mark }] = taken.splice(which % taken.length, 1);
          assert.equal(buffer[0], mark);
          assert.equal(buffer[buffer.length - 1], mark);
          pool.giveBack(buffer);
        }
        assert.ok(pool.freeBytes <= options.freeBytesMax);
      }
    }),
  );
});

test('of pieces that fit the one of just the size is taken, and no more wait than are allowed', () => {
  const pool = new BufferPool({ ...options, piecesMax: 3 });
  const sizes = [8192, 10_240, 8192, 12_288];
  const taken = sizes.map((size) => pool.take(size));
  for (const buffer of taken) pool.giveBack(buffer);
  assert.equal(pool.freeBytes, 10_240 + 8192 + 12_288, 'what has waited longest has gone');
  assert.equal(pool.take(8000).buffer, taken[2].buffer);
  assert.equal(pool.take(8000).buffer, taken[1].buffer, 'then the smallest of the larger ones');
});

test('a piece is at most a quarter larger than what was asked for', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 1 << 24 }), (bytes) => {
      const size = pieceBytes(bytes);
      assert.ok(size >= bytes && size <= Math.max(bytes + 1, bytes * 1.25), `${bytes} ${size}`);
    }),
  );
});
