/** What was fetched lies in memory that is used again: as long as somebody holds it, nothing else may come to lie there. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { zstdCompressSync } from 'node:zlib';
import { limits } from '../../base/limits.ts';
import { silentLog } from '../../base/log.ts';
import { BATCH_HEAD_BYTES, sealBatch, writeRecordHead, writeVarint } from '../../wire/kafka/record-batch.ts';
import { RunMemory } from '../event-log/run-memory.ts';
import { Chunks } from './chunks.ts';
import { type Chunk, FetchedRecords } from './fetched.ts';
import { opaqueForm } from './opaque-form.ts';

const VALUE_BYTES = 1000;

/** A batch of `count` values that are nothing but the letter. */
function batch(letter: string, count: number): Buffer {
  const bytes = Buffer.alloc(BATCH_HEAD_BYTES + count * (VALUE_BYTES + 20));
  let end = BATCH_HEAD_BYTES;
  for (let nth = 0; nth < count; nth++) {
    const content = Buffer.alloc(VALUE_BYTES + 10, letter);
    const start = writeVarint(content, writeVarint(content, 0, -1), VALUE_BYTES);
    const size = start + VALUE_BYTES + 1;
    content[size - 1] = 0;
    end = writeRecordHead(bytes, end, nth, size);
    end += content.copy(bytes, end, 0, size);
  }
  sealBatch(bytes, end, count, { id: 1n, epoch: 0, sequence: 0 }, 1);
  return bytes.subarray(0, end);
}

function textOf({ runs }: Chunk): string {
  const letters = runs.map(({ bytes, start, end }) => bytes.toString('latin1', start, end).replace(/[^a-z]/g, ''));
  return letters.join('');
}

test('what is dropped is used again, but not while an answer of it is held', () => {
  const memory = new RunMemory();
  const fetched = new FetchedRecords(opaqueForm, silentLog, memory);
  const chunks = new Chunks(1, 150_000, memory);
  const add = (letter: string): Chunk => {
    const chunk = fetched.chunk(batch(letter, 40), 0);
    chunks.add(0, chunk);
    return chunk;
  };
  const first = add('a');
  memory.hold(first.memory);
  const second = add('b');
  const third = add('c');
  const fourth = add('d');
  assert.deepEqual(
    [first, second, third, fourth].map(({ isDropped }) => isDropped),
    [true, true, false, false],
  );
  assert.ok(fourth.memory.buffer === second.memory.buffer || add('e').memory.buffer === second.memory.buffer);
  assert.equal(textOf(first), 'a'.repeat(40 * VALUE_BYTES));
  memory.letGo(first.memory);
  assert.equal(add('f').memory.buffer, first.memory.buffer);
});

test('records that are longer than they came are laid out whole, and in order', () => {
  const memory = new RunMemory();
  const long = { ...opaqueForm, size: (...of: Parameters<typeof opaqueForm.size>) => 3 * opaqueForm.size(...of) };
  const chunk = new FetchedRecords(long, silentLog, memory).chunk(Buffer.concat([batch('a', 30), batch('b', 30)]), 0);
  const [{ bytes, start, end }] = chunk.runs;
  assert.equal(end - start, 30 * (4 + 3 * VALUE_BYTES));
  for (let at = start; at < end; at += 4 + 3 * VALUE_BYTES) {
    assert.equal(bytes.readUInt32LE(at), 3 * VALUE_BYTES);
    assert.equal(bytes.toString('latin1', at + 4, at + 4 + VALUE_BYTES), 'a'.repeat(VALUE_BYTES));
  }
});

test('a damaged answer holds no memory', () => {
  const memory = new RunMemory();
  const fetched = new FetchedRecords(opaqueForm, silentLog, memory);
  const damaged = batch('a', 40);
  damaged[damaged.length - 1] ^= 1;
  assert.throws(() => fetched.chunk(damaged, 0));
  assert.ok(memory.freeBytes > 0);
});

/** A batch whose `count` records have no key, and values of `valueBytes`; the broker has given them offsets from `first` on. */
function foreignBatch(
  first: number,
  count: number,
  { valueBytes = 0, isCompressed = false, deltaOf = (nth: number) => nth } = {},
): Buffer {
  const content = Buffer.alloc(valueBytes + 12);
  const size = writeVarint(content, writeVarint(content, 0, -1), valueBytes) + valueBytes + 1;
  const records = Buffer.alloc(count * (size + 20));
  let end = 0;
  for (let nth = 0; nth < count; nth++) {
    end = writeRecordHead(records, end, deltaOf(nth), size);
    end += content.copy(records, end, 0, size);
  }
  const plain = records.subarray(0, end);
  const bytes = Buffer.concat([Buffer.alloc(BATCH_HEAD_BYTES), isCompressed ? zstdCompressSync(plain) : plain]);
  const mark = { id: -1n, epoch: -1, sequence: -1 };
  sealBatch(bytes, bytes.length, count, mark, 1, isCompressed ? { compression: 4 } : {});
  bytes.writeBigInt64BE(BigInt(first), 0);
  return bytes;
}

/** Offsets of the records that reading from `from` on brings, chunk by chunk, and the largest chunk. */
function readChunks(answer: Buffer, end: number): { offsets: number; chunks: number; bytesMax: number } {
  const fetched = new FetchedRecords(opaqueForm, silentLog, new RunMemory());
  const found = { offsets: 0, chunks: 0, bytesMax: 0 };
  for (let from = 0; from < end; found.chunks++) {
    const chunk = fetched.chunk(answer, from);
    assert.ok(chunk.next > from, 'a chunk goes on');
    for (const { firstSequence, count } of chunk.runs) {
      assert.equal(firstSequence, found.offsets, 'nothing is left out or read twice');
      found.offsets += count;
    }
    found.bytesMax = Math.max(found.bytesMax, chunk.memory.length);
    from = chunk.next;
  }
  return found;
}

test('batches of another program that become much longer are read one part after the other', () => {
  const batches = Array.from({ length: 5 }, (_, nth) =>
    foreignBatch(nth * 20, 20, { valueBytes: 1024 * 1024, isCompressed: true }),
  );
  const answer = Buffer.concat(batches);
  assert.ok(answer.length < 256 * 1024, 'they are short as they were fetched');
  const found = readChunks(answer, 100);
  assert.equal(found.offsets, 100);
  assert.ok(found.chunks > 1);
  assert.ok(found.bytesMax < 2 * limits.kafkaChunkLaidOutBytesMax, `a chunk has ${found.bytesMax} bytes`);
});

test('a batch whose records say to be elsewhere is left out, and nothing of it; the next one is read', () => {
  for (const deltaOf of [(nth: number) => nth * 1000, () => 1, (nth: number) => 2 - nth]) {
    const answer = Buffer.concat([foreignBatch(0, 2), foreignBatch(2, 3, { deltaOf }), foreignBatch(5, 2)]);
    const fetched = new FetchedRecords(opaqueForm, silentLog, new RunMemory());
    const { runs, next } = fetched.chunk(answer, 0);
    assert.equal(next, 7);
    assert.deepEqual(
      runs.map(({ firstSequence, count }) => [firstSequence, count]),
      [
        [0, 2],
        [5, 2],
      ],
    );
  }
});

test('a batch that is whole, but whose records are not, is left out; the next one is read', () => {
  const broken = foreignBatch(0, 2);
  // The last record says to be longer than it is.
  const bytes = Buffer.from(broken);
  bytes[BATCH_HEAD_BYTES] = 0x7e;
  sealBatch(bytes, bytes.length, 2, { id: -1n, epoch: -1, sequence: -1 }, 1);
  const { runs, next } = new FetchedRecords(opaqueForm, silentLog, new RunMemory()).chunk(
    Buffer.concat([bytes, foreignBatch(2, 1)]),
    0,
  );
  assert.equal(next, 3);
  assert.deepEqual(
    runs.map(({ firstSequence, count }) => [firstSequence, count]),
    [[2, 1]],
  );
});
