import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { asciiText, asSentence, ownText } from './text.ts';

test('a copy is the same text, with halves of pairs and all', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.nat(20), (text, from) => {
      // Cut anywhere, also through a pair.
      assert.equal(ownText(text.slice(from)), text.slice(from));
    }),
  );
  assert.equal(ownText('\ud83d'), '\ud83d');
});

test('a text for visible ASCII holds nothing else, and everything of what it was', () => {
  const cases = [
    ['application/json; charset=utf-8', 'application/json; charset=utf-8'],
    ['text/plain; name="müße"', 'text/plain; name="m%C3%BC%C3%9Fe"'],
    ['a\u0000b\ud800c', 'a%00b%EF%BF%BDc'],
  ];
  for (const [text, ascii] of cases) assert.equal(asciiText(text), ascii);
});

test('a text that another sentence follows ends with a full stop, and with one only', () => {
  assert.deepEqual(['it is full', 'It is full.', 'Is it?'].map(asSentence), ['it is full.', 'It is full.', 'Is it?']);
});
