import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Kept } from './kept.ts';

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

test('what is found is what was kept for the same bytes, wherever they lie', () => {
  const bytes = fc.uint8Array({ maxLength: 9, max: 3 });
  fc.assert(
    fc.property(fc.array(fc.tuple(bytes, fc.nat({ max: 9 })), { maxLength: 200 }), (keys) => {
      const kept = new Kept<string>();
      for (const [key, at] of keys) {
        const lies = new Uint8Array(at + key.length + 2).fill(7);
        lies.set(key, at);
        const text = key.join();
        const found = kept.find(viewOf(lies), at, at + key.length);
        assert.ok(found === undefined || found === text, `${found} for ${text}`);
        if (found === undefined) kept.keep(viewOf(lies), at, at + key.length, text);
        assert.equal(kept.find(viewOf(Uint8Array.from(key)), 0, key.length), text);
      }
    }),
  );
});

test('it keeps thousands, forgets the rest, and does not keep what is large', () => {
  const kept = new Kept<number>();
  const key = (nth: number): DataView => viewOf(Buffer.from(`key ${nth}`));
  const isKept = (nth: number): boolean => kept.find(key(nth), 0, key(nth).byteLength) === nth;
  const all = Array.from({ length: 100_000 }, (_, nth) => nth);
  for (const nth of all.slice(0, 1000)) kept.keep(key(nth), 0, key(nth).byteLength, nth);
  // Five of a set that holds four are rare among so few.
  assert.ok(all.slice(0, 1000).filter(isKept).length > 980);
  for (const nth of all) kept.keep(key(nth), 0, key(nth).byteLength, nth);
  assert.equal(all.filter(isKept).length, 4096);
  const large = viewOf(new Uint8Array(1025));
  assert.equal(kept.keep(large, 0, 1025, 5), 5);
  assert.equal(kept.find(large, 0, 1025), undefined);
});
