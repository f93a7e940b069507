import assert from 'node:assert/strict';
import { test } from 'node:test';
import { numberedUuids, seededRandom, systemRandom } from './random.ts';

const form = /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

test('numbered UUIDs have the form of one, and differ within a run and between runs', () => {
  const runs = [numberedUuids(seededRandom(1)), numberedUuids(seededRandom(2))];
  const numbers = [1, 2, 3, 2 ** 32, 2 ** 47];
  const all = runs.flatMap((idOf) => numbers.map(idOf));
  for (const id of all) assert.match(id, form);
  assert.equal(new Set(all).size, all.length);
  assert.equal(runs[0](3), all[2], 'the same number is the same id');
});

test('the machine gives as many bytes as were asked for, and never the same twice, whatever becomes of those it gave before', () => {
  const seen = new Set<string>();
  for (let nth = 0; nth < 3000; nth++) {
    const count = 16 + (nth % 60);
    const bytes = systemRandom.bytes(count);
    assert.equal(bytes.length, count);
    seen.add(bytes.toString('hex', 0, 16));
    bytes.fill(0);
  }
  assert.equal(seen.size, 3000);
  assert.equal(systemRandom.bytes(5000).length, 5000);
  const counts = new Array<number>(256).fill(0);
  for (let nth = 0; nth < 4000; nth++) for (const byte of systemRandom.bytes(16)) counts[byte]++;
  // 250 of each are to be expected; a deviation of 16 that is 7.5 times larger does not come about.
  assert.ok(
    counts.every((count) => count > 130 && count < 370),
    `${counts}`,
  );
});
