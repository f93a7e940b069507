import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { deflateRawSync } from 'node:zlib';
import fc from 'fast-check';
import { limits } from '../../base/limits.ts';
import { BatchWriter, type ForwardedMessage, forwarded, readBatch } from './batch.ts';
import { ByteReader, ByteWriter } from './bytes.ts';

const batchOf = (messages: readonly ForwardedMessage[], level = 6): Buffer => {
  const writer = new BatchWriter();
  for (const message of messages) writer.add(message);
  return writer.finish(level);
};

const text = fc.string({ unit: 'binary', maxLength: 20 }).filter((value) => value.isWellFormed());
const name = fc.string({ unit: fc.constantFrom('a', 'b', '1', '-'), minLength: 1, maxLength: 3 });
const message = fc.record(
  {
    deviceId: name,
    moduleId: name,
    created: fc.integer({ min: -8.64e15 / 1e3, max: 8.64e12 }),
    messageId: text.filter((value) => value !== ''),
    correlationId: text,
    contentType: text,
    contentEncoding: text,
    address: text,
    properties: fc.array(fc.tuple(text, fc.option(text, { nil: null })), { maxLength: 4 }),
    body: fc.uint8Array({ maxLength: 100 }).map((bytes) => Buffer.from(bytes)),
  },
  { noNullPrototype: true, requiredKeys: ['deviceId', 'created', 'properties', 'body'] },
);

test('what is written is read: every field, in order, compressed or not', () => {
  fc.assert(
    fc.property(fc.array(message, { maxLength: 30 }), fc.constantFrom(0, 1, 6), (messages, level) => {
      assert.deepEqual(readBatch(batchOf(messages, level)).map(forwarded), messages);
    }),
  );
});

test('a writer begins anew after each batch', () => {
  const writer = new BatchWriter();
  const one: ForwardedMessage = { deviceId: 'd1', created: 5, properties: [['a', 'b']], body: Buffer.from('x') };
  writer.add(one);
  const first = writer.finish(0);
  assert.equal(writer.count, 0);
  writer.add(one);
  assert.deepEqual(writer.finish(0), first);
});

test('a message of a fleet costs at most 40 bytes over its body', () => {
  const start = Date.UTC(2026, 0, 1);
  for (const perBatch of [50, 200, 1000]) {
    const messages = Array.from(
      { length: perBatch },
      (_, at): ForwardedMessage => ({
        deviceId: `sensor-${String((at * 7919) % 1000).padStart(6, '0')}`,
        created: start + Math.floor(at * 60 + Math.random() * 60),
        contentType: 'application/json',
        contentEncoding: 'utf-8',
        properties: [['kind', at % 3 === 0 ? 'alarm' : 'sample']],
        // Nothing of the body can be compressed: what is gained by it does not hide what the rest costs.
        body: randomBytes(64),
      }),
    );
    const over = batchOf(messages).length / perBatch - 64;
    assert.ok(over <= 40, `${perBatch} messages: ${over.toFixed(1)} bytes over the body`);
    assert.ok(over <= 22, `${perBatch} messages: ${over.toFixed(1)} bytes over the body`);
  }
});

test('bytes that are no batch are refused, and cost no more than they may', () => {
  const decode = { name: 'GatewayDecodeError' };
  assert.throws(() => readBatch(Buffer.alloc(0)), decode);
  assert.throws(() => readBatch(Buffer.from([2, 0])), decode);
  assert.throws(() => readBatch(Buffer.from([1, 7])), decode);
  assert.throws(() => readBatch(Buffer.from([1, 1, 0xff, 0xff])), decode);
  const good = batchOf([{ deviceId: 'd1', created: 1, properties: [['a', null]], body: Buffer.from('abc') }], 0);
  for (let end = 3; end < good.length; end++) assert.throws(() => readBatch(good.subarray(0, end)), decode);
  // A device and a header that were not told.
  assert.throws(() => readBatch(Buffer.from([1, 0, 1, 0, 0, 0, 0])), decode);
  assert.throws(() => readBatch(Buffer.from([1, 0, 0, 1, 100, 2, 0, 0, 0])), decode);
  const bomb = Buffer.concat([Buffer.from([1, 1]), deflateRawSync(Buffer.alloc(limits.gatewayBatchBytesMax + 1))]);
  assert.ok(bomb.length < 2000);
  assert.throws(() => readBatch(bomb), /at most \d+ bytes when inflated/);
  const many = batchOf(
    Array.from({ length: limits.gatewayBatchMessagesMax + 1 }, () => ({
      deviceId: 'd',
      created: 0,
      properties: [],
      body: Buffer.alloc(0),
    })),
  );
  assert.throws(() => readBatch(many), /at most \d+ messages/);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
      try {
        readBatch(Buffer.concat([Buffer.from([1, 0]), bytes]));
      } catch (error) {
        assert.equal((error as Error).name, 'GatewayDecodeError');
      }
    }),
    { numRuns: 2000 },
  );
});

test('numbers of every size are read as written', () => {
  const numbers = [0, 1, 127, 128, 16383, 16384, 2 ** 31, 2 ** 32, 2 ** 48, 2 ** 51];
  const writer = new ByteWriter(1);
  for (const number of numbers) {
    writer.varint(number);
    writer.signed(number / 2 < 1 ? number : -Math.floor(number / 2));
  }
  const reader = new ByteReader(writer.copy());
  for (const number of numbers) {
    assert.equal(reader.varint(), number);
    assert.equal(reader.signed(), number / 2 < 1 ? number : -Math.floor(number / 2));
  }
  assert.ok(reader.isDone);
});

test('of a header with more properties than a message may have only so many are kept as show it', () => {
  const properties = Array.from({ length: 100_000 }, () => ['', null] as const);
  const one: ForwardedMessage = { deviceId: 'd1', created: 0, properties, body: Buffer.from('x') };
  const [first, second] = readBatch(batchOf([one, one]));
  assert.equal(first.header.properties.length, limits.messagePropertiesMax + 1);
  assert.equal(second.header, first.header);
});
