import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { crc32c, crc32cByTables } from './crc32c.ts';
import { MalformedKafka } from './fields.ts';
import {
  BATCH_HEAD_BYTES,
  RECORD_HEAD_BYTES_MAX,
  RecordCursor,
  readBatchHead,
  sealBatch,
  varintBytes,
  writeRecordHead,
  writeVarint,
} from './record-batch.ts';

interface Sample {
  readonly key: Buffer | undefined;
  readonly value: Buffer | undefined;
  readonly headers: readonly (readonly [string, Buffer | undefined])[];
}

/** Key, value and headers of a record, as a codec writes them. */
function contentOf({ key, value, headers }: Sample): Buffer {
  const bytes = Buffer.alloc(
    32 +
      (key?.length ?? 0) +
      (value?.length ?? 0) +
      headers.reduce((sum, [name, of]) => sum + 20 + 4 * name.length + (of?.length ?? 0), 0),
  );
  let at = 0;
  const put = (part: Buffer | undefined): void => {
    at = writeVarint(bytes, at, part?.length ?? -1);
    at += part?.copy(bytes, at) ?? 0;
  };
  put(key);
  put(value);
  at = writeVarint(bytes, at, headers.length);
  for (const [name, of] of headers) {
    put(Buffer.from(name));
    put(of);
  }
  return bytes.subarray(0, at);
}

function batchOf(samples: readonly Sample[]): Buffer {
  const contents = samples.map(contentOf);
  const batch = Buffer.alloc(
    BATCH_HEAD_BYTES + contents.reduce((sum, { length }) => sum + length + RECORD_HEAD_BYTES_MAX, 0),
  );
  let at = BATCH_HEAD_BYTES;
  for (const [nth, content] of contents.entries()) {
    at = writeRecordHead(batch, at, nth, content.length);
    at += content.copy(batch, at);
  }
  sealBatch(batch, at, samples.length, { id: 7n, epoch: 3, sequence: 11 }, 1_700_000_000_123);
  return batch.subarray(0, at);
}

function samplesOf(bytes: Buffer): Sample[] {
  const head = readBatchHead(bytes, 0, bytes.length);
  assert.ok(head !== undefined);
  const cursor = new RecordCursor();
  cursor.open(bytes, head.start, head.end, head.count);
  const part = (start: number, end: number): Buffer | undefined =>
    end < start ? undefined : Buffer.from(bytes.subarray(start, end));
  const found: Sample[] = [];
  while (cursor.next()) {
    assert.equal(cursor.offsetDelta, found.length);
    assert.equal(cursor.timeDelta, 0);
    const headers: [string, Buffer | undefined][] = [];
    cursor.headers((nameStart, nameEnd, valueStart, valueEnd) => {
      headers.push([bytes.toString('utf8', nameStart, nameEnd), part(valueStart, valueEnd)]);
    });
    found.push({ key: part(cursor.keyStart, cursor.keyEnd), value: part(cursor.valueStart, cursor.valueEnd), headers });
  }
  return found;
}

const bytesOrNone = fc.option(fc.uint8Array({ maxLength: 200 }).map(Buffer.from), { nil: undefined });
const sample: fc.Arbitrary<Sample> = fc.record(
  {
    key: bytesOrNone,
    value: bytesOrNone,
    headers: fc.array(fc.tuple(fc.string({ maxLength: 20 }), bytesOrNone), { maxLength: 5 }),
  },
  { noNullPrototype: true },
);

test('CRC-32C is that of its known samples, in pieces and at odd places too', () => {
  // RFC 3720 appendix B.4, and the check value of the polynomial.
  for (const sum of [crc32c, crc32cByTables]) {
    assert.equal(sum(Buffer.from('123456789')), 0xe3069283);
    assert.equal(sum(Buffer.alloc(32)), 0x8a9136aa);
    assert.equal(sum(Buffer.alloc(32, 0xff)), 0x62a8ab43);
    assert.equal(sum(Buffer.from(Array.from({ length: 32 }, (_, at) => at))), 0x46dd794e);
  }
  const bytes = randomBytes(300);
  for (let cut = 0; cut <= bytes.length; cut += 7) {
    assert.equal(crc32c(bytes, cut, bytes.length, crc32c(bytes, 0, cut)), crc32cByTables(bytes));
    assert.equal(crc32c(bytes, cut), crc32cByTables(bytes, cut));
  }
});

test('a varint has as many bytes as is said', () => {
  for (const value of [0, 1, 63, 64, 8191, 8192, 2 ** 20 - 1, 2 ** 20, 2 ** 27 - 1, 2 ** 27, 2 ** 30]) {
    assert.equal(writeVarint(Buffer.alloc(8), 0, value), varintBytes(value), String(value));
  }
  assert.equal(writeVarint(Buffer.alloc(8), 0, -1), 1);
});

test('what was written is read', () => {
  fc.assert(
    fc.property(fc.array(sample, { minLength: 1, maxLength: 30 }), (samples) => {
      assert.deepEqual(
        samplesOf(batchOf(samples)),
        samples.map((each) => ({ ...each })),
      );
    }),
    { numRuns: 200 },
  );
});

test('a batch that is cut off is none, wherever it is cut', () => {
  const batch = batchOf([{ key: Buffer.from('d1'), value: randomBytes(30), headers: [['a', undefined]] }]);
  for (let end = 0; end < batch.length; end++) assert.equal(readBatchHead(batch, 0, end), undefined);
  assert.equal(readBatchHead(batch, 0, batch.length)?.time, 1_700_000_000_123);
});

test('a bit that has changed is noticed', () => {
  const batch = batchOf([{ key: undefined, value: randomBytes(40), headers: [] }]);
  for (let at = 17; at < batch.length; at++) {
    const changed = Buffer.from(batch);
    changed[at] ^= 1 << (at % 8);
    assert.throws(() => readBatchHead(changed, 0, changed.length), MalformedKafka, `byte ${at}`);
  }
});

test('arbitrary records of a foreign producer end in a refusal, never beyond their batch', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), fc.integer({ min: 0, max: 50 }), (records, count) => {
      const bytes = Buffer.concat([Buffer.alloc(5), Buffer.from(records), Buffer.alloc(5)]);
      const cursor = new RecordCursor();
      const end = 5 + records.length;
      cursor.open(bytes, 5, end, count);
      try {
        while (cursor.next()) {
          assert.ok(cursor.end <= end && cursor.keyEnd <= cursor.end && cursor.valueEnd <= cursor.end);
          cursor.headers((nameStart, nameEnd, valueStart, valueEnd) => {
            assert.ok(
              nameStart <= nameEnd && nameEnd <= cursor.end && valueStart <= cursor.end && valueEnd <= cursor.end,
            );
          });
        }
      } catch (error) {
        assert.ok(error instanceof MalformedKafka, String(error));
      }
    }),
    { numRuns: 3000 },
  );
});
