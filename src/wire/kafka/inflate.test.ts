import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { inflate, NotInflatable } from './inflate.ts';

const MAX = 1024;
const SNAPPY = 2;
const LZ4 = 3;
const text = (bytes: Buffer | undefined): string | undefined => bytes?.toString('latin1');

/** A frame of lz4 around blocks. @param own whether blocks copy nothing of each other */
function lz4Frame(own: boolean, ...blocks: readonly Buffer[]): Buffer {
  const head = Buffer.from([0x04, 0x22, 0x4d, 0x18, own ? 0x60 : 0x40, 0x40, 0]);
  const pieces = blocks.flatMap((block) => {
    const length = Buffer.alloc(4);
    length.writeUInt32LE(block.length);
    return [length, block];
  });
  return Buffer.concat([head, ...pieces, Buffer.alloc(4)]);
}

test('snappy: bytes that stand for themselves, copies of each kind, one that reaches into itself, and the frame of Java', () => {
  // "abcd", then 8 bytes from 4 before, then 5 from 1 before.
  const block = Buffer.from([17, 3 << 2, 0x61, 0x62, 0x63, 0x64, (4 << 2) | 1, 4, (4 << 2) | 2, 1, 0]);
  assert.equal(text(inflate(block, SNAPPY, MAX)), 'abcdabcdabcdddddd');
  const far = Buffer.from([8, 3 << 2, 0x61, 0x62, 0x63, 0x64, (3 << 2) | 3, 4, 0, 0, 0]);
  assert.equal(text(inflate(far, SNAPPY, MAX)), 'abcdabcd');
  const long = Buffer.concat([Buffer.from([100, 60 << 2, 99]), Buffer.alloc(100, 0x78)]);
  assert.equal(text(inflate(long, SNAPPY, MAX)), 'x'.repeat(100));
  const framed = Buffer.concat([
    Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0, 0, 0, 0, 1, 0, 0, 0, 1]),
    ...[block, far].flatMap((each) => [Buffer.from([0, 0, 0, each.length]), each]),
  ]);
  assert.equal(text(inflate(framed, SNAPPY, MAX)), 'abcdabcdabcddddddabcdabcd');
});

test('lz4: literals, copies, long lengths, blocks as they are, and blocks that copy of each other', () => {
  // Two literals, a copy of 4 from 2 before, and one literal at the end.
  const block = Buffer.from([0x20, 0x61, 0x62, 2, 0, 0x10, 0x63]);
  assert.equal(text(inflate(lz4Frame(true, block), LZ4, MAX)), 'abababc');
  const long = Buffer.from([0x1f, 0x78, 1, 0, 81, 0x00]);
  assert.equal(text(inflate(lz4Frame(true, long), LZ4, MAX)), 'x'.repeat(1 + 15 + 81 + 4));
  const second = Buffer.from([0x00, 3, 0, 0x10, 0x64]);
  assert.equal(text(inflate(lz4Frame(false, block, second), LZ4, MAX)), 'abababcabcad');
  assert.throws(() => inflate(lz4Frame(true, block, second), LZ4, MAX), NotInflatable);
  const plain = lz4Frame(true, Buffer.from('plain'));
  plain.writeUInt32LE(0x80000005, 7);
  assert.equal(text(inflate(Buffer.concat([plain, lz4Frame(true, block)]), LZ4, MAX)), 'plainabababc');
});

test('what would become too much is refused before it is written, and no bytes are read or written outside', () => {
  for (const size of [
    [0xff, 0xff, 0xff, 0x7f],
    [0xff, 0xff, 0xff, 0xff, 0x0f],
  ]) {
    assert.throws(() => inflate(Buffer.from([...size, 0]), SNAPPY, MAX), /more than 1024 bytes/);
  }
  const bomb = Buffer.concat([Buffer.from([0x1f, 0x78, 1, 0]), Buffer.alloc(60, 255), Buffer.from([0, 0])]);
  assert.throws(() => inflate(lz4Frame(true, bomb), LZ4, MAX), /more than 1024 bytes/);
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 200 }),
      fc.constantFrom(SNAPPY, LZ4),
      fc.boolean(),
      (bytes, kind, framed) => {
        const body = Buffer.from(bytes);
        try {
          const found = inflate(framed && kind === LZ4 ? lz4Frame(false, body) : body, kind, MAX);
          assert.ok(found !== undefined && found.length <= MAX);
        } catch (error) {
          assert.ok(error instanceof NotInflatable, String(error));
        }
      },
    ),
    { numRuns: 3000 },
  );
});
