import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { readRleBitPackedHybrid } from 'hyparquet/src/encoding.js';
import { readDifferences } from './differences.ts';
import { bitsOf, packDifferences, packRuns } from './pack-numbers.ts';

test('packed differences are read back, however far apart numbers are', () => {
  const number = fc.oneof(
    fc.nat(300),
    fc.integer({ min: -(2 ** 31), max: 2 ** 31 }),
    fc.integer({ min: 0, max: 2 ** 44 }),
  );
  fc.assert(
    fc.property(fc.array(number, { minLength: 1, maxLength: 400 }), (numbers) => {
      const values = Float64Array.from(numbers);
      const found = new Float64Array(values.length);
      readDifferences(packDifferences(values), found);
      assert.deepEqual(found, values);
    }),
  );
});

test('runs and packed bits are read back by the library', () => {
  const drawn = fc.integer({ min: 0, max: 20 }).chain((width) => {
    const value = fc.integer({ min: 0, max: 2 ** width - 1 });
    const stretch = fc.tuple(value, fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 40 })));
    return fc.record({ width: fc.constant(width), stretches: fc.array(stretch, { minLength: 1, maxLength: 60 }) });
  });
  fc.assert(
    fc.property(drawn, ({ width, stretches }) => {
      const values = Int32Array.from(stretches.flatMap(([value, times]) => Array.from({ length: times }, () => value)));
      const packed = packRuns(values, width);
      const found = new Int32Array(values.length);
      const view = new DataView(packed.buffer, packed.byteOffset, packed.length);
      readRleBitPackedHybrid({ view, offset: 0 }, width, found, packed.length);
      assert.deepEqual(found, values);
    }),
  );
});

test('bits of a number', () => {
  assert.deepEqual([0, 1, 2, 3, 4, 255, 256, 2 ** 40 - 1, 2 ** 40].map(bitsOf), [0, 1, 2, 2, 3, 8, 9, 40, 41]);
});
