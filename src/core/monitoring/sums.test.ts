import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { VirtualClock } from '../../base/clock.ts';
import { Sums } from './sums.ts';
import type { Summed } from './types.ts';

interface Failure {
  readonly address: string;
  readonly device: string;
  readonly check: string;
}

function scene(sourcesPerAddressMax: number, addressesMax: number) {
  const clock = new VirtualClock();
  const told: (Summed & { readonly event: Failure })[] = [];
  const sums = new Sums<Failure>({
    clock,
    windowMs: 1000,
    sourcesPerAddressMax,
    addressesMax,
    tell: (event, summed) => told.push({ event, ...summed }),
    widen: (event, to) => ({ ...event, device: '*', address: to === 'hub' ? '*' : event.address }),
  });
  const add = (event: Failure): void =>
    sums.add(event, { address: event.address, source: `${event.check} ${event.device}`, alike: event.check });
  return { clock, told, sums, add };
}

test('the first is told at once, those that follow within the window as one', () => {
  const { clock, told, sums, add } = scene(16, 16);
  const failure = { address: 'a', device: 'd', check: 'wrong-key' };
  const start = clock.now();
  add(failure);
  assert.equal(told.length, 1);
  for (let at = 0; at < 9; at++) {
    clock.advance(100);
    add(failure);
  }
  assert.equal(told.length, 1);
  clock.advance(100);
  assert.deepEqual(told[1], {
    event: failure,
    count: 9,
    first: start + 100,
    last: start + 900,
    since: start,
    summedOver: 'source',
  });
  clock.advance(1000);
  assert.equal(told.length, 2);
  assert.equal(sums.size, 0, 'a source that was quiet for a window is forgotten');
  add(failure);
  assert.equal(told.length, 3, 'and told at once again');
});

test('nothing is lost from the counts, whatever comes, and the table is bounded', () => {
  const step = fc.oneof(
    {
      weight: 10,
      arbitrary: fc.record({ address: fc.nat(9), device: fc.nat(30), check: fc.nat(2), times: fc.nat(20) }),
    },
    { weight: 2, arbitrary: fc.record({ passMs: fc.nat(3000) }) },
  );
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 120 }),
      fc.integer({ min: 1, max: 4 }),
      fc.integer({ min: 1, max: 4 }),
      (steps, perAddress, addresses) => {
        const { clock, told, sums, add } = scene(perAddress, addresses);
        const expected = new Map<string, number>();
        const start = clock.now();
        for (const each of steps) {
          if ('passMs' in each) {
            clock.advance(each.passMs);
            continue;
          }
          const check = `check-${each.check}`;
          for (let at = 0; at < each.times; at++) {
            add({ address: `a${each.address}`, device: `d${each.device}`, check });
            expected.set(check, (expected.get(check) ?? 0) + 1);
          }
          const checks = 3;
          assert.ok(sums.size <= addresses * perAddress + (addresses + 1) * checks, `${sums.size} windows`);
        }
        sums.flush();
        const counted = new Map<string, number>();
        for (const { event, count, first, last, summedOver } of told) {
          counted.set(event.check, (counted.get(event.check) ?? 0) + count);
          assert.ok(start <= first && first <= last && last <= clock.now());
          assert.equal(event.device === '*', summedOver !== 'source');
          assert.equal(event.address === '*', summedOver === 'hub');
        }
        assert.deepEqual([...counted].sort(), [...expected].sort());
      },
    ),
    { numRuns: 500 },
  );
});
