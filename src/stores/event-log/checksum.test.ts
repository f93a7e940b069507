import assert from 'node:assert/strict';
import { test } from 'node:test';
import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import { joinChecksums } from './checksum.ts';

test('joined checksums are that of the bytes in a row, wherever they are cut', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 5000 }), fc.nat(), (bytes, place) => {
      const cut = place % (bytes.length + 1);
      const behind = bytes.subarray(cut);
      assert.equal(joinChecksums(crc32(bytes.subarray(0, cut)), crc32(behind), behind.length), crc32(bytes));
    }),
  );
});

test('many megabytes, and a checksum with its highest bit set', () => {
  const bytes = Buffer.alloc(33_000_001, 'megabytes');
  for (const cut of [0, 1, 17, 32_999_999, bytes.length]) {
    const behind = bytes.subarray(cut);
    assert.equal(joinChecksums(crc32(bytes.subarray(0, cut)), crc32(behind), behind.length), crc32(bytes));
  }
});
