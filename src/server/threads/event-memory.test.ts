import assert from 'node:assert/strict';
import { test } from 'node:test';
import { crc32 } from 'node:zlib';
import { limits } from '../../base/limits.ts';
import { Batch } from '../../stores/event-log/batch.ts';
import { packBatch, SharedMemory, unpackBatch } from './event-memory.ts';

test('a batch comes out of shared memory as it went in, with its checksums', () => {
  const batch = new Batch(4);
  for (const [partition, length] of [
    [0, 3],
    [2, 1000],
    [2, 17],
    [3, 0],
  ]) {
    const at = batch.reserve(partition, length);
    batch.runs[partition].fill(65 + length, at, at + length);
  }
  const packed = packBatch(batch, new SharedMemory());
  const unpacked = unpackBatch({ id: 1, epoch: 0, ...packed });
  assert.deepEqual(unpacked.counts, [1, 0, 2, 1]);
  assert.equal(packed.bytes, batch.bytes);
  for (const partition of [0, 1, 2, 3]) {
    const [{ bytes, checksum }] = unpacked.pieces(partition);
    const own = Buffer.concat(batch.pieces(partition).map((piece) => piece.bytes));
    assert.ok(bytes.equals(own));
    assert.equal(checksum, crc32(own));
    assert.equal(bytes.buffer, packed.memory);
  }
});

test('memory is used again when it was given back, if it is large enough, and little is kept', () => {
  const memory = new SharedMemory();
  const first = memory.take(1000);
  assert.notEqual(memory.take(1000), first);
  memory.giveBack(first);
  assert.equal(memory.take(1000), first);
  memory.giveBack(first);
  assert.ok(memory.take(first.byteLength + 1).byteLength > first.byteLength);
  const all = Array.from({ length: limits.threadCommitsMax + 3 }, () => memory.take(10));
  for (const each of all) memory.giveBack(each);
  const again = new Set(all.map(() => memory.take(10)));
  assert.equal(all.filter((each) => again.has(each)).length, limits.threadCommitsMax);
});
