import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readTraceParent, traceParentOf } from './trace-context.ts';

const trace = '0af7651916cd43dd8448eb211c80319c';
const parent = 'b7ad6b7169203331';
const text = `00-${trace}-${parent}-01`;

test('a parent is read as the standard writes it, and of later versions what this one knows', () => {
  const read = { traceId: trace, spanId: parent };
  assert.deepEqual(readTraceParent(text), read);
  assert.deepEqual(readTraceParent(`00-${trace}-${parent}-00`), read, 'also of one that its sender does not sample');
  assert.deepEqual(readTraceParent(`cc-${trace}-${parent}-01-what-the-future-will-be-like`), read);
  const wrong = [
    undefined,
    null,
    '',
    '0001',
    text.toUpperCase(),
    ` ${text}`,
    `${text}-more`,
    `${text}\n`,
    `ff-${trace}-${parent}-01`,
    `00-${'0'.repeat(32)}-${parent}-01`,
    `00-${trace}-${'0'.repeat(16)}-01`,
    `cc-${trace}-${parent}-01.more`,
    `cc-${trace}-${parent}-01-${'x'.repeat(1000)}`,
  ];
  for (const each of wrong) assert.equal(readTraceParent(each), undefined, String(each));
});

test('a message names its parent by the standard’s name, by that of the SDKs, or by the system property', () => {
  assert.equal(traceParentOf([['traceparent', text]]), text);
  assert.equal(traceParentOf([['Diagnostic-Id', text]]), text);
  assert.equal(traceParentOf([], text), text);
  assert.equal(traceParentOf([['traceparent', null]], text), text);
  assert.equal(traceParentOf([['traceparent', 'nonsense']], '0001'), undefined);
  assert.equal(traceParentOf([['Traceparent', text]]), undefined);
  assert.equal(traceParentOf([['traceparent', `cc${text.slice(2)}-more`]]), `cc${text.slice(2)}`);
});
