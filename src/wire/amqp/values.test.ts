import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { limits } from '../../base/limits.ts';
import { AmqpDecodeError, AmqpReader, type AmqpValue, Described } from './values.ts';
import { AmqpWriter } from './writer.ts';

const read = (hex: string): AmqpValue => {
  const reader = new AmqpReader(Buffer.from(hex.replaceAll(' ', ''), 'hex'));
  const value = reader.value();
  assert.ok(reader.isDone, 'the value ends where its bytes end');
  return value;
};

test('each constructor of the standard reads as its value', () => {
  const expected: [string, AmqpValue][] = [
    ['40', null],
    ['41', true],
    ['42', false],
    ['56 01', true],
    ['50 ff', 255],
    ['60 ffff', 65535],
    ['70 ffffffff', 4294967295],
    ['52 80', 128],
    ['43', 0],
    ['80 0000468c00000004', 0x0000468c00000004],
    ['80 ffffffffffffffff', 18446744073709551615n],
    ['53 10', 16],
    ['44', 0],
    ['51 ff', -1],
    ['61 8000', -32768],
    ['71 80000000', -2147483648],
    ['54 ff', -1],
    ['81 ffffffffffffffff', -1],
    ['55 80', -128],
    ['72 3fc00000', 1.5],
    ['82 3ff8000000000000', 1.5],
    ['83 0000019a00000000', 0x19a00000000],
    ['73 00000041', 'A'],
    ['a0 02 0102', Buffer.of(1, 2)],
    ['b0 00000001 07', Buffer.of(7)],
    ['a1 03 c3bc61', 'üa'],
    ['b1 00000001 61', 'a'],
    ['a3 01 61', 'a'],
    ['b3 00000001 61', 'a'],
    [`98 ${'11'.repeat(16)}`, Buffer.alloc(16, 0x11)],
    ['45', []],
    ['c0 03 02 41 40', [true, null]],
    ['d0 00000005 00000001 42', [false]],
    ['c1 04 02 43 50 07', new Map([[0, 7]])],
    ['e0 04 02 50 01 02', [1, 2]],
    ['f0 0000000b 00000001 a3 05 6162636465', ['abcde']],
    ['00 a3 01 66 a1 01 78', new Described('f', 'x')],
  ];
  for (const [hex, value] of expected) assert.deepEqual(read(hex), value, hex);
});

test('what is cut off, too deep or announces more than it holds is refused', () => {
  const wrong = [
    '',
    'a1 05 61',
    '70 0000',
    'c0 03 02 41',
    'd0 ffffffff 00000001 41',
    'd0 00000004 ffffffff',
    'f0 00000005 ffffffff 40', // four thousand million nulls in one byte
    'c1 02 01 41',
    'c0 03 01 41 41',
    'e0 02 01 00',
    'ff',
    `${'c002 01'.replace(' ', '')}`,
  ];
  for (const hex of wrong) assert.throws(() => read(hex), AmqpDecodeError, hex);
  const nested = (depth: number): Buffer => {
    let bytes = Buffer.of(0x40);
    for (let level = 0; level < depth; level++) {
      const head = Buffer.alloc(9);
      head[0] = 0xd0;
      head.writeUInt32BE(bytes.length + 4, 1);
      head.writeUInt32BE(1, 5);
      bytes = Buffer.concat([head, bytes]);
    }
    return bytes;
  };
  assert.doesNotThrow(() => new AmqpReader(nested(limits.amqpNestingMax)).value());
  assert.throws(() => new AmqpReader(nested(limits.amqpNestingMax + 1)).value(), AmqpDecodeError);
  const described = Buffer.alloc(100_000, 0x00);
  assert.throws(() => new AmqpReader(described).value(), AmqpDecodeError);
});

test('arbitrary bytes give a value or a decode error, and nothing is read beyond the end', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      const reader = new AmqpReader(Buffer.from(bytes));
      try {
        while (!reader.isDone) reader.value();
      } catch (error) {
        assert.ok(error instanceof AmqpDecodeError);
      }
      assert.ok(reader.at <= bytes.length);
    }),
    { numRuns: 2000 },
  );
});

test('what the writer writes the reader reads', () => {
  const text = fc.string({ unit: 'binary', maxLength: 600 }).filter((value) => value.isWellFormed());
  fc.assert(
    fc.property(text, fc.maxSafeInteger(), fc.uint8Array({ maxLength: 400 }), (word, number, bytes) => {
      const writer = new AmqpWriter(1);
      const begun = writer.beginList();
      writer.string(word);
      writer.long(number);
      writer.ulong(Math.abs(number));
      writer.timestamp(number);
      writer.binary(bytes);
      writer.strings([word, 'b']);
      writer.symbols(['s']);
      writer.end(begun, 7);
      const value = new AmqpReader(writer.copy()).value();
      assert.deepEqual(value, [word, number, Math.abs(number), number, Buffer.from(bytes), [word, 'b'], ['s']]);
    }),
  );
});
