import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HubError } from '../errors.ts';
import { ownerOf, pathOf, urlPathOf } from './names.ts';

const d1 = { deviceId: 'd1' };
const m1 = { deviceId: 'd1', moduleId: 'm1' };

test('a file lies in the part of its identity', () => {
  assert.equal(pathOf(d1, 'a/b.txt'), 'd1/a/b.txt');
  assert.equal(pathOf(m1, 'a/b.txt'), 'd1/$modules/m1/a/b.txt');
  assert.deepEqual(ownerOf('d1/a/b.txt'), d1);
  assert.deepEqual(ownerOf('d1/$modules/m1/a/b.txt'), m1);
  assert.deepEqual(ownerOf('d1/$modules'), d1);
});

test('no name leads out of it', () => {
  const names = [
    '',
    '..',
    'a/../b',
    './a',
    'a//b',
    '/a',
    'a/',
    '\u0000',
    'a\nb',
    'a\\b',
    'x'.repeat(1025),
    '\ud800',
    '$modules/m1/x',
    `${'a/'.repeat(80)}a`,
  ];
  for (const name of names) {
    assert.throws(
      () => pathOf(d1, name),
      (error) => error instanceof HubError && error.code === 'ArgumentInvalid',
      JSON.stringify(name),
    );
  }
  for (const name of ['a..b', '...', 'a b', 'ü', '%2F', '%2E%2E', 'x'.repeat(1024), '$module']) {
    assert.equal(ownerOf(pathOf(d1, name)).moduleId, undefined);
  }
});

test('a path in a URL is decoded to what it was', () => {
  const path = 'd 1/a%2Fb/ü ?#+.bin';
  assert.equal(decodeURIComponent(urlPathOf(path)), path);
  assert.match(urlPathOf(path), /^[A-Za-z0-9%/._-]+$/);
});
