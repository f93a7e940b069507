import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../../base/random.ts';
import { type Line, linesOf } from './lines.ts';

async function* pieces(bytes: Uint8Array, sizes: () => number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; ) {
    const size = Math.max(1, sizes());
    yield bytes.subarray(at, at + size);
    at += size;
  }
}

async function all(bytes: Uint8Array, sizes: () => number, start = { offset: 0, line: 1 }, max = 20): Promise<Line[]> {
  const found: Line[] = [];
  for await (const lines of linesOf(pieces(bytes.subarray(start.offset), sizes), start, max)) found.push(...lines);
  return found;
}

const shown = (lines: readonly Line[]) =>
  lines.map(({ number, bytes }) => [number, bytes === undefined ? undefined : Buffer.from(bytes).toString()]);

test('lines end with LF or CRLF, blank ones are left out, the last needs no end', async () => {
  const bytes = Buffer.from('\ufeffa\r\n\n  \t\r\n b c \n\n\nlast');
  for (const size of [1, 2, 3, 7, 100]) {
    assert.deepEqual(shown(await all(bytes, () => size)), [
      [1, 'a'],
      [4, 'b c'],
      [7, 'last'],
    ]);
  }
  assert.deepEqual(await all(Buffer.from('\n\r\n \n'), () => 2), []);
});

test('a line that is too long is told once, and the next is read', async () => {
  const bytes = Buffer.from(`${'x'.repeat(21)}\n${'y'.repeat(20)}\n${'z'.repeat(5000)}`);
  for (const size of [1, 6, 10_000]) {
    assert.deepEqual(shown(await all(bytes, () => size)), [
      [1, undefined],
      [2, 'y'.repeat(20)],
      [3, undefined],
    ]);
  }
});

test('whatever the pieces: the same lines, and reading on behind any of them gives the rest', async () => {
  const random = seededRandom(7);
  const below = (count: number): number => Math.floor(random.next() * count);
  for (let round = 0; round < 200; round++) {
    const letters = 'ab \r\n\n\n';
    const text = Array.from({ length: below(120) }, () => letters[below(letters.length)]).join('');
    const bytes = Buffer.from(text);
    const whole = await all(bytes, () => 1000);
    const expected = text
      .split('\n')
      .map((line, at): [number, string | undefined] => [at + 1, line.length > 20 ? undefined : line.trim()])
      .filter(([, line]) => line !== '');
    assert.deepEqual(shown(whole), expected);
    assert.deepEqual(await all(bytes, () => 1 + below(9)), whole);
    for (const [at, { end, number }] of whole.entries()) {
      assert.deepEqual(await all(bytes, () => 1 + below(9), { offset: end, line: number + 1 }), whole.slice(at + 1));
    }
  }
});
