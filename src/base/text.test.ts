import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ownText } from './text.ts';

test('a copy is the same text, with halves of pairs and all', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.nat(20), (text, from) => {
      // Cut anywhere, also through a pair.
      assert.equal(ownText(text.slice(from)), text.slice(from));
    }),
  );
  assert.equal(ownText('\ud83d'), '\ud83d');
});
