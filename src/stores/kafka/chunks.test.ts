/** What was fetched lies in memory that is used again: as long as somebody holds it, nothing else may come to lie there. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
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
