import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Batch } from './batch.ts';

/** A batch that counts the buffers that are made for it. */
function make(partitionCount: number): { readonly batch: Batch; readonly made: number[] } {
  const made: number[] = [];
  const batch = new Batch(partitionCount, (bytes) => {
    made.push(bytes);
    return Buffer.alloc(bytes);
  });
  return { batch, made };
}

const capacityOf = (batch: Batch): number => batch.runs.reduce((sum, run) => sum + run.length, 0);

test('a batch that is filled as it was before makes no memory anew, however large', () => {
  const { batch, made } = make(4);
  const fill = (): void => {
    for (const [partition, records] of [110, 130, 120, 150].entries()) {
      for (let more = records; more > 0; more--) batch.reserve(partition, 16_600);
    }
  };
  fill();
  batch.clear(batch.bytes);
  const before = made.length;
  for (let round = 0; round < 3; round++) {
    fill();
    batch.clear(batch.bytes);
  }
  assert.equal(made.length, before);
});

test('what a burst in one partition has left goes when another one fills', () => {
  const { batch } = make(2);
  batch.reserve(0, 1_000_000);
  batch.clear(1_100_000);
  assert.ok(batch.runs[0].length >= 1_000_000, 'it stays while it is within the bound');
  batch.reserve(1, 1_000_000);
  batch.clear(1_100_000);
  assert.equal(batch.runs[0].length, 0);
  assert.ok(batch.runs[1].length >= 1_000_000, 'what is used stays');
});

test('whatever was in a batch, what it keeps is bounded, and what comes next is whole', () => {
  const bytesMax = 4_000_000;
  const records = fc.array(fc.tuple(fc.nat(3), fc.integer({ min: 0, max: 600_000 })), { maxLength: 30 });
  fc.assert(
    fc.property(fc.array(records, { minLength: 1, maxLength: 6 }), (batches) => {
      const { batch } = make(4);
      for (const [round, all] of batches.entries()) {
        const expected: number[][] = [[], [], [], []];
        for (const [partition, size] of all) {
          if (batch.bytes + size + 4 > bytesMax) break;
          const at = batch.reserve(partition, size);
          batch.runs[partition].fill(round + 1, at, at + size);
          expected[partition].push(size);
        }
        for (const [partition, sizes] of expected.entries()) {
          let at = 0;
          for (const size of sizes) {
            assert.equal(batch.runs[partition].readUInt32LE(at), size);
            assert.ok(batch.runs[partition].subarray(at + 4, at + 4 + size).every((byte) => byte === round + 1));
            at += 4 + size;
          }
          assert.equal(batch.lengths[partition], at);
        }
        batch.clear(2 * bytesMax);
        assert.ok(capacityOf(batch) <= 2 * bytesMax, `${capacityOf(batch)} bytes`);
        assert.ok(batch.isEmpty());
      }
    }),
    { numRuns: 30 },
  );
});
