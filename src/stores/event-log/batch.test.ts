import assert from 'node:assert/strict';
import { test } from 'node:test';
import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import { Batch } from './batch.ts';
import { BATCH_FIXED_BYTES, encodeBatch, parseBatch, RUN_BYTES, SALT_BYTES } from './format.ts';

const PARTITIONS = 3;

function put(batch: Batch, partition: number, text: string): void {
  const at = batch.reserve(partition, text.length);
  batch.runs[partition].write(text, at, 'latin1');
}

const guestOf = (partition: number, ...texts: string[]): Batch => {
  const guest = new Batch(PARTITIONS);
  for (const text of texts) put(guest, partition, text);
  return guest;
};

/** The batch as the journal writes it and reads it again: records by partition. */
function written(batch: Batch): string[][] {
  const salt = Buffer.alloc(SALT_BYTES, 5);
  const head = Buffer.alloc(BATCH_FIXED_BYTES + RUN_BYTES * PARTITIONS);
  const { buffers, length } = encodeBatch(head, batch, { salt, position: 7, time: 9 }, [0, 0, 0]);
  const bytes = Buffer.concat(buffers);
  assert.equal(bytes.length, length);
  const parsed = parseBatch(bytes, 0, salt, 7, PARTITIONS);
  assert.ok(parsed !== undefined, 'the checksum is right');
  const texts: string[][] = Array.from({ length: PARTITIONS }, () => []);
  for (const { partition, start, end, count } of parsed.runs) {
    for (let at = start; at < end; at += 4 + bytes.readUInt32LE(at)) {
      texts[partition].push(bytes.toString('latin1', at + 4, at + 4 + bytes.readUInt32LE(at)));
    }
    assert.equal(texts[partition].length, count);
  }
  return texts;
}

test("records stand in the order in which they came, other writers' between own ones", () => {
  const batch = new Batch(PARTITIONS);
  batch.append(guestOf(1, 'a'));
  put(batch, 0, 'b');
  batch.append(guestOf(0, 'c', 'd'));
  batch.append(guestOf(0, 'e'));
  // Long enough that the own run moves to a larger buffer.
  const long = 'f'.repeat(40_000);
  put(batch, 0, long);
  batch.append(guestOf(0, 'g'));
  assert.deepEqual(written(batch), [['b', 'c', 'd', 'e', long, 'g'], ['a'], []]);
  assert.equal(batch.bytes, 7 * 4 + 6 + long.length);
  batch.clear(1_000_000);
  assert.ok(batch.isEmpty());
  put(batch, 2, 'again');
  assert.deepEqual(written(batch), [[], [], ['again']]);
});

test("other writers' runs are not copied, and their checksums are taken as they are", () => {
  const bytes = Buffer.from('\u0001\0\0\0x', 'latin1');
  const run = { lengths: [5, 0, 0], counts: [1, 0, 0] };
  const batch = new Batch(PARTITIONS);
  batch.append({ ...run, pieces: () => [{ bytes, checksum: crc32(bytes) }] });
  assert.equal(batch.pieces(0)[0].bytes, bytes);
  assert.deepEqual(written(batch), [['x'], [], []]);
  batch.append({ ...run, pieces: () => [{ bytes, checksum: crc32(bytes) + 1 }] });
  assert.throws(() => written(batch), /the checksum is right/);
});

const capacityOf = (batch: Batch): number => batch.runs.reduce((sum, run) => sum + run.length, 0);

test('a batch that is filled as it was before allocates no memory, however large', () => {
  const batch = new Batch(4);
  const fill = (): void => {
    for (const [partition, records] of [110, 130, 120, 150].entries()) {
      for (let more = records; more > 0; more--) batch.reserve(partition, 16_600);
    }
  };
  fill();
  batch.clear(batch.bytes);
  const before = [...batch.runs];
  for (let round = 0; round < 3; round++) {
    fill();
    batch.clear(batch.bytes);
  }
  for (const [partition, run] of batch.runs.entries()) assert.equal(run, before[partition]);
});

test('what a burst in one partition has left goes when another one fills', () => {
  const batch = new Batch(2);
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
      const batch = new Batch(4);
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
