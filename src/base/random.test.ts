import assert from 'node:assert/strict';
import { test } from 'node:test';
import { numberedUuids, seededRandom } from './random.ts';

const form = /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

test('numbered UUIDs have the form of one, and differ within a run and between runs', () => {
  const runs = [numberedUuids(seededRandom(1)), numberedUuids(seededRandom(2))];
  const numbers = [1, 2, 3, 2 ** 32, 2 ** 47];
  const all = runs.flatMap((idOf) => numbers.map(idOf));
  for (const id of all) assert.match(id, form);
  assert.equal(new Set(all).size, all.length);
  assert.equal(runs[0](3), all[2], 'the same number is the same id');
});
