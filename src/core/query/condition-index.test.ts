/** The index of conditions never leaves one out that is true, and finds few where many demand a value. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConditionIndex } from './condition-index.ts';
import type { FleetRow } from './ports.ts';
import { parseQuery } from './statement.ts';
import type { Value } from './values.ts';

function rowWith(tags: Readonly<Record<string, Value>>): FleetRow {
  return {
    place: { deviceId: 'd', moduleId: '' },
    text: () => '{}',
    value: ({ field, below: [name] }) => (field === 'tags' ? tags[String(name)] : undefined),
  };
}

const whereOf = (text: string) => parseQuery(`SELECT * FROM devices WHERE ${text}`).where;

test('a condition is found by a value that it demands, whatever the type; others are always tried', () => {
  const index = new ConditionIndex<string>();
  const texts = [
    "tags.a = 'x'",
    "tags.a IN ['x', 'y', undefined] AND tags.b > 2",
    '1 = tags.a',
    'true = tags.a AND tags.b = 1',
    'tags.a = null',
    "tags.a = 'x' OR tags.b = 1",
    "NOT tags.a = 'x'",
    "tags.a NIN ['x']",
    'tags.a = undefined',
  ];
  for (const text of texts) index.add(text, whereOf(text), 'devices');
  index.add('all', undefined, 'devices');
  const always = [texts[5], texts[6], texts[7], 'all'];
  const found = (tags: Readonly<Record<string, Value>>) => [...index.of(rowWith(tags))].sort();
  assert.deepEqual(found({ a: 'x' }), [texts[0], texts[1], ...always].sort());
  assert.deepEqual(found({ a: 'y' }), [texts[1], ...always].sort());
  assert.deepEqual(found({ a: 1 }), [texts[2], ...always].sort());
  assert.deepEqual(found({ a: true }), [texts[3], ...always].sort());
  assert.deepEqual(found({ a: null }), [texts[4], ...always].sort());
  assert.deepEqual(found({ a: [1], b: 1 }), [...always].sort());
  assert.deepEqual(found({}), [...always].sort());
});

test('what is removed is not found any more, and what is added again counts once', () => {
  const index = new ConditionIndex<number>();
  for (let at = 0; at < 1000; at++) index.add(at, whereOf(`tags.a = ${at}`), 'devices');
  index.add(7, whereOf('tags.b = 7'), 'devices');
  assert.deepEqual([...index.of(rowWith({ a: 7 }))], []);
  assert.deepEqual([...index.of(rowWith({ a: 8, b: 7 }))], [8, 7]);
  for (let at = 0; at < 1000; at++) index.remove(at);
  index.remove(5);
  assert.deepEqual([...index.of(rowWith({ a: 8, b: 7 }))], []);
});
