import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits } from '../../base/limits.ts';
import type { JsonObject } from '../twins/types.ts';
import { mergeBetween, overlay, type Setting, withSettings } from './overlay.ts';

const of = (settings: Readonly<Record<string, Setting['value']>>, owner: string) =>
  Object.keys(settings).map((path) => ({ path: path === '' ? [] : path.split('.'), value: settings[path], owner }));
const plain = (values: JsonObject): unknown => JSON.parse(JSON.stringify(values));

test('what a later setting covers is lost, and what it lies in is kept', () => {
  const over = overlay([
    ...of({ 'a.b': 1, 'a.c': 2, d: 3 }, 'weak'),
    ...of({ a: { x: 1, y: null } }, 'middle'),
    ...of({ 'a.x': null, 'a.z.q': 4, 'e.f': null }, 'strong'),
  ]);
  assert.deepEqual([...over.winners], ['weak', 'middle', 'strong']);
  assert.deepEqual(over.paths, [['d'], ['a'], ['e', 'f']]);
  const before = { a: { old: true }, e: { f: 1, own: 2 }, gone: { too: 1, mine: 2 }, alone: { too: 1 }, text: 'x' };
  const earlier = [['gone', 'too'], ['alone', 'too'], ['text', 'below'], ['absent']];
  const after = withSettings(before, earlier, over);
  assert.deepEqual(plain(after), { a: { z: { q: 4 } }, d: 3, e: { own: 2 }, gone: { mine: 2 }, text: 'x' });
  assert.deepEqual(plain(withSettings(after, over.paths, overlay([]))), {
    e: { own: 2 },
    gone: { mine: 2 },
    text: 'x',
  });
  assert.equal(mergeBetween(after, withSettings(after, over.paths, over)), undefined, 'done again it is the same');
  assert.deepEqual(plain(withSettings(before, [], overlay(of({ '': { only: 1 } }, 'whole')))), { only: 1 });
});

test('as many settings as configurations may have cost a device less than a second, not minutes', () => {
  const settings = Array.from({ length: limits.configurationsMax }, (_, owner) =>
    Array.from({ length: limits.configurationSettingsMax }, (_, at) => ({
      path: [`p${owner}_${at}`],
      value: 1,
      owner,
    })),
  ).flat();
  const begun = performance.now();
  const over = overlay(settings);
  const after = withSettings({}, [], over);
  withSettings(after, over.paths, overlay([]));
  const ms = performance.now() - begun;
  assert.equal(Object.keys(after).length, settings.length);
  // A tenth of a second here; comparing each with each took more than a minute.
  assert.ok(ms < 10_000, `${Math.round(ms)} ms`);
});
