import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { checkTopicShape, fewestFilters, fill, filterMatches, isFilter, parsePattern, takesAll } from './pattern.ts';

const matched = (pattern: string, topic: string): object | undefined => {
  const found = parsePattern(pattern).match(topic);
  return found && { ...found };
};

test('a name stands for one level, or a part of one; {name...} for several', () => {
  assert.deepEqual(matched('tele/{device}/{kind}', 'tele/plug/STATE'), { device: 'plug', kind: 'STATE' });
  assert.equal(matched('tele/{device}/{kind}', 'tele/plug/a/b'), undefined);
  assert.deepEqual(matched('z/{device...}/set', 'z/hall/lamp/set'), { device: 'hall/lamp' });
  assert.deepEqual(matched('s/{model}-{id}/x', 's/shelly1pm-AB12/x'), { model: 'shelly1pm', id: 'AB12' });
  assert.deepEqual(matched('a/+/#', 'a/b/c/d'), {});
  assert.deepEqual(matched('{a}-{b}/{c}_{d}.x', '-1-2-/3__4.x.x'), { a: '-1', b: '2-', c: '3', d: '_4.x' });
  assert.equal(matched('{a}-{b}/x', 'a-b-/y'), undefined);
  assert.equal(matched('a.c/{x}', 'abc/1'), undefined, 'text is text');
});

test('a pattern that cannot be used says why', () => {
  for (const [text, why] of [
    ['a/#/b', /# may stand at the end only/],
    ['a/{x...}/{y...}', /only one part/],
    ['a/{x}/{x}', /comes twice/],
    ['a/x{y...}', /level of its own/],
    ['a/{not a name}', /neither text nor/],
    ['', /empty/],
    ['a/'.repeat(20), /levels/],
    ['a'.repeat(600), /512 bytes/],
  ] as const) {
    assert.throws(() => parsePattern(text), why, text);
  }
});

test('a pattern becomes the filter that a bridge subscribes; filters that others cover are left out', () => {
  assert.equal(parsePattern('tele/{device}/{kind}').filter, 'tele/+/+');
  assert.equal(parsePattern('z/{device...}/set').filter, 'z/#');
  assert.deepEqual(fewestFilters(['z/#', 'z/+/set', 'tele/+/LWT', 'tele/+/+', 'z/#']), ['z/#', 'tele/+/+']);
});

test('a pattern that takes all topics of another one is told, and none that leaves some', () => {
  for (const [wide, narrow, expected] of [
    ['a/{x}/{y}', 'a/{x}/b', true],
    ['a/{x}/b', 'a/{x}/{y}', false],
    ['a/#', 'a/b/{x...}', true],
    ['a/{x...}', 'a', false],
    ['a/{x...}/set', 'a/b/set', false],
    ['a/{m}-{x}', 'a/b', false],
    ['a/{x}', 'a/{m}-{y}', true],
    ['a/{x}/b', 'a//b', false],
    ['a/b', 'a/b', true],
  ] as const) {
    assert.equal(takesAll(parsePattern(wide), parsePattern(narrow)), expected, `${wide} ${narrow}`);
  }
});

test('filters match as section 4.7 of the standard says', () => {
  for (const [filter, topic, expected] of [
    ['a/+/c', 'a/b/c', true],
    ['a/+', 'a/b/c', false],
    ['a/#', 'a', true],
    ['a/#', 'a/b/c', true],
    ['#', '$SYS/x', false],
    ['+/x', '$SYS/x', false],
    ['$SYS/#', '$SYS/x', true],
    ['a/b', 'a/b/c', false],
    ['+', '', true],
  ] as const) {
    assert.equal(filterMatches(filter, topic), expected, `${filter} ${topic}`);
  }
  assert.deepEqual(['a/#', '#', '+/a', 'a#', 'a/#/b', 'a+'].map(isFilter), [true, true, true, false, false, false]);
});

test('what fills a topic is one level without wildcards', () => {
  assert.equal(fill('cmnd/{device}/{command}', { device: 'plug', command: 'POWER' }, new Set()), 'cmnd/plug/POWER');
  assert.equal(fill('z/{device}/set', { device: 'hall/lamp' }, new Set(['device'])), 'z/hall/lamp/set');
  assert.throws(() => fill('a/{x}', { x: '#' }, new Set()), /"x" cannot be part of a topic/);
  assert.throws(() => fill('a/{x}', { x: 'b/c' }, new Set()), /"x" has a "\/"/);
  assert.throws(() => fill('a/{x}', {}, new Set()), /needs a value for "x"/);
  assert.throws(() => fill('a/{constructor}', {}, new Set()), /needs a value/);
});

test('whatever topic comes, a match costs little and finds a filling that gives it back', () => {
  const pattern = parsePattern('a/{x}-{y}/{z...}');
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom('a', '-', '/', 'ü'), maxLength: 500 }), (rest) => {
      const began = performance.now();
      const found = pattern.match(`a/${rest}`);
      assert.ok(performance.now() - began < 100);
      if (found !== undefined) assert.equal(`a/${found.x}-${found.y}/${found.z}`, `a/${rest}`);
    }),
    { numRuns: 500 },
  );
  assert.throws(() => checkTopicShape('x\0', 'topic'));
});

test('levels with two names, each of which a topic could divide in many ways, cost no more', () => {
  const pattern = parsePattern('{a}-{b}/{c}-{d}/{e}-{f}/{g}-{h}/{rest...}/end');
  const level = '-'.repeat(90);
  const began = process.cpuUsage();
  assert.equal(pattern.match(`${level}/${level}/${level}/${level}/${level}/enx`), undefined);
  const { user } = process.cpuUsage(began);
  assert.ok(user < 500_000, `${user} µs`);
});
