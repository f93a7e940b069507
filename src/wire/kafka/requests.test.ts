import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { supportedVersions } from './apis.ts';
import { readCreatedTopics, readMetadata, readProducerId, readTopicSettings } from './cluster-requests.ts';
import { FieldReader, FieldWriter, MalformedKafka } from './fields.ts';
import { readLogDirs } from './log-dirs-requests.ts';
import { readFetched, readListedOffsets, readProduceAnswers } from './records-requests.ts';
import { readSaslAuthenticate, readSaslHandshake } from './sasl-requests.ts';

const readers: Readonly<Record<string, (reader: FieldReader) => unknown>> = {
  supportedVersions,
  readCreatedTopics,
  readMetadata,
  readProducerId,
  readTopicSettings,
  readLogDirs,
  readFetched,
  readListedOffsets,
  readProduceAnswers,
  readSaslAuthenticate,
  readSaslHandshake,
};

test('a request may become as long as it likes, whichever field its memory grows at', () => {
  for (let before = 240; before <= 260; before++) {
    const written = new FieldWriter().raw(Buffer.alloc(before)).int8(1).int16(2).int32(3).int64(4).uvarint(5).done();
    const reader = new FieldReader(written, before);
    const read = [reader.int8(), reader.int16(), reader.int32(), reader.int64(), reader.uvarint()];
    assert.deepEqual(read, [1, 2, 3, 4, 5]);
  }
});

test('fields are read as they were written', () => {
  const written = new FieldWriter()
    .int8(-3)
    .int16(-300)
    .int32(-70_000)
    .int64(2 ** 52 + 1)
    .int64(-2)
    .bool(true);
  for (const value of [0, 127, 128, 300, 2 ** 21, 2 ** 31 - 1]) written.uvarint(value);
  written
    .text('grün')
    .text(null)
    .text('')
    .shortText('x')
    .bytes(Buffer.from([1, 2]))
    .bytes(null);
  written
    .list([5, 6], (item) => void written.int8(item))
    .noTags()
    .raw(Buffer.alloc(400, 9));
  const reader = new FieldReader(written.done());
  assert.deepEqual(
    [reader.int8(), reader.int16(), reader.int32(), reader.int64(), reader.int64(), reader.bool()],
    [-3, -300, -70_000, 2 ** 52 + 1, -2, true],
  );
  for (const value of [0, 127, 128, 300, 2 ** 21, 2 ** 31 - 1]) assert.equal(reader.uvarint(), value);
  assert.deepEqual([reader.text(), reader.text(), reader.text(), reader.shortText()], ['grün', null, '', 'x']);
  assert.deepEqual([reader.bytes(), reader.bytes()], [Buffer.from([1, 2]), Buffer.alloc(0)]);
  assert.deepEqual(
    reader.list(() => reader.int8()),
    [5, 6],
  );
  reader.skipTags();
  assert.equal(reader.end - reader.at, 400);
});

for (const [name, read] of Object.entries(readers)) {
  test(`${name}: arbitrary bytes are refused, or read within their end and in proportion to them`, () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const reader = new FieldReader(Buffer.from(bytes));
        try {
          read(reader);
          assert.ok(reader.at <= bytes.length);
        } catch (error) {
          assert.ok(error instanceof MalformedKafka, String(error));
        }
      }),
      { numRuns: 500 },
    );
  });
}
