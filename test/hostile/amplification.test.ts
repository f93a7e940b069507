/** The table of `amplification.ts`, measured: with each bound, and with that bound taken away, which must be noticed. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { amplificationTable, type Element, elements, TABLE_BEGIN, TABLE_END } from './amplification.ts';
import { growthOf, looksOf, without } from './cost.ts';

const MEASURED_BYTES = 1024 * 1024;

interface Cost {
  readonly kept: number;
  readonly looks: number;
}

/** What is kept and done for one byte of an element's worst input. */
async function costOf({ bytes, take }: Element): Promise<Cost> {
  const input = bytes();
  const attempt = (): unknown => {
    try {
      return take(input);
    } catch {
      return undefined;
    }
  };
  // Code that is compiled on the way is not what the input costs.
  attempt();
  // Several together, because what else happens in the process makes its heap a little larger or smaller.
  const times = Math.ceil(MEASURED_BYTES / input.length);
  const [grown, held] = await growthOf(() => Array.from({ length: times }, attempt));
  const looks = await looksOf(input, attempt);
  // Alive until here.
  assert.equal(held.length, times);
  return { kept: Math.max(0, grown) / (times * input.length), looks };
}

for (const element of elements) {
  const { protocol, name, bound, keptPerByteMax, looksPerByteMax } = element;
  const isTooMuch = ({ kept, looks }: Cost): boolean => kept > keptPerByteMax || looks > looksPerByteMax;
  const said = ({ kept, looks }: Cost): string =>
    `${kept.toFixed(1)} bytes and ${looks.toFixed(1)} looks for each byte`;
  test(`${protocol}: ${name}`, async () => {
    const cost = await costOf(element);
    assert.equal(isTooMuch(cost), false, said(cost));
    if (bound === undefined) {
      console.log(`${protocol} ${name}: ${said(cost)}`);
      return;
    }
    const unbounded = await without([bound], () => costOf(element));
    console.log(`${protocol} ${name}: ${said(cost)}; without ${bound}: ${said(unbounded)}`);
    assert.ok(isTooMuch(unbounded), `without ${bound}: ${said(unbounded)}`);
  });
}

test('SECURITY.md holds the table', () => {
  const page = readFileSync(path.join(import.meta.dirname, '..', '..', 'SECURITY.md'), 'utf8');
  const begin = page.indexOf(TABLE_BEGIN);
  assert.notEqual(begin, -1);
  const table = page.slice(begin + TABLE_BEGIN.length, page.indexOf(TABLE_END)).trim();
  assert.equal(table, amplificationTable(), 'run npm run docs');
});
