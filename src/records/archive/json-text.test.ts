import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isJsonText } from './json-text.ts';

/** As the rule is said: JSON in UTF-8, no half of a character in any text of it. */
function isJsonByParse(bytes: Buffer): boolean {
  let isWhole = true;
  const look = (text: string): void => {
    isWhole &&= text.isWellFormed();
  };
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    JSON.parse(text, (key, value) => {
      look(key);
      if (typeof value === 'string') look(value);
      return value;
    });
    // Of names that stand twice, `JSON.parse` shows only one.
    for (const [part] of text.matchAll(/"(?:[^"\\]|\\.)*"/gs)) look(JSON.parse(part) as string);
  } catch {
    return false;
  }
  return isWhole;
}

const agrees = (bytes: Buffer): void => {
  assert.equal(isJsonText(bytes), isJsonByParse(bytes), JSON.stringify(bytes.toString('latin1')));
};

test('a body is a JSON text where JSON.parse takes it and no text has half a character', () => {
  const pieces = fc.constantFrom(
    ...[
      '{',
      '}',
      '[',
      ']',
      '"',
      ',',
      ':',
      '\\',
      '/',
      ' ',
      '\n',
      '\t',
      '\r',
      '\v',
      '\u00a0',
      '\ufeff',
      '\u2028',
      '\u007f',
    ],
    ...['0', '1', '-', '+', '.', 'e', 'E', '-0', '01', '1.', '.5', '1e5', '1E-5', '1e', '-1.5e+10', '1e999'],
    ...['true', 'false', 'null', 'tru', 'nul', 'True', 'NaN', '"a"', '"a":', '{"a":1}', '[1,2]', '[1,]', '{"a":1,}'],
    ...[
      '\\u',
      '\\ud83d',
      '\\ude00',
      '\\uD83D\\uDE00',
      '"\\u0041"',
      '"\\u00e4"',
      '\\\\',
      '\\"',
      '\\b',
      '\\x',
      '\\u12g4',
    ],
    ...['ä', '€', '😀', 'plain text of some length', '"plain text of some length"', '\u0000', '\u001f'],
  );
  const mixed = fc.array(pieces, { maxLength: 12 }).map((parts) => Buffer.from(parts.join('')));
  const within = fc.array(pieces, { maxLength: 6 }).map((parts) => Buffer.from(`["${parts.join('')}"]`));
  fc.assert(fc.property(fc.oneof(mixed, within), agrees), { numRuns: 20_000 });
});

test('it agrees on true JSON, and where one byte of it is another one', () => {
  const json = fc.oneof(
    fc.json(),
    fc.jsonValue({ noUnicodeString: false }).map((value) => JSON.stringify(value, null, 1)),
  );
  fc.assert(
    fc.property(json, fc.nat(), fc.integer({ min: 0, max: 255 }), (text, place, byte) => {
      const bytes = Buffer.from(text);
      agrees(bytes);
      if (bytes.length === 0) return;
      bytes[place % bytes.length] = byte;
      agrees(bytes);
    }),
    { numRuns: 2000 },
  );
});

test('it agrees on bytes of characters that are well-formed or are not, and on a text cut anywhere', () => {
  const byte = fc.constantFrom(
    0x22,
    0x61,
    0x7f,
    0x80,
    0x8f,
    0x90,
    0x9f,
    0xa0,
    0xbf,
    0xc0,
    0xc2,
    0xdf,
    0xe0,
    0xe1,
    0xed,
    0xee,
    0xf0,
    0xf4,
    0xf5,
    0xff,
  );
  fc.assert(
    fc.property(fc.array(byte, { maxLength: 6 }), (inner) => agrees(Buffer.from([0x22, ...inner, 0x22]))),
    { numRuns: 10_000 },
  );
  const whole = Buffer.from('{"a":[1.5e-3,true,null,"x\\u00e4\\ud83d\\ude00ä€😀"],"b":{}}');
  for (let end = 0; end <= whole.length; end++) agrees(whole.subarray(0, end));
});

test('an escaped backslash before what looks like half a character is none', () => {
  assert.ok(isJsonText(Buffer.from('"\\\\ud800"')));
  assert.ok(!isJsonText(Buffer.from('"\\\\ud83d\\ude00"')));
});

test('containers may be as deep as a body has bytes', () => {
  const deep = (count: number): Buffer => Buffer.from(`${'['.repeat(count)}${']'.repeat(count)}`);
  assert.ok(isJsonText(deep(130_000)));
  assert.ok(!isJsonText(deep(130_000).subarray(0, -1)));
  const objects = Buffer.from(`${'{"a":'.repeat(20_000)}1${'}'.repeat(20_000)}`);
  assert.ok(isJsonText(objects));
  assert.ok(!isJsonText(Buffer.from(objects.toString().replace('}', ']'))));
});
