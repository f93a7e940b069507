import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Histogram } from './histogram.ts';

test('a percentile is within 1/64 of the exact one, whatever the durations', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 60_000_000 }), { minLength: 1, maxLength: 300 }),
      fc.constantFrom(0.5, 0.9, 0.99, 1),
      (microseconds, share) => {
        const histogram = new Histogram();
        for (const value of microseconds) histogram.record(value / 1000);
        const sorted = microseconds.toSorted((a, b) => a - b);
        const exact = sorted[Math.ceil(sorted.length * share) - 1] / 1000;
        const answered = histogram.percentile(share);
        assert.ok(answered >= exact - 0.0011 && answered <= exact * (1 + 1 / 64) + 0.0011, `${answered} for ${exact}`);
      },
    ),
  );
});

test('parts of several threads add up to the whole', () => {
  const whole = new Histogram();
  const parts = [new Histogram(), new Histogram()];
  for (let value = 0; value < 10_000; value++) {
    whole.record(value / 7);
    parts[value % 2].record(value / 7);
  }
  const sum = new Histogram();
  for (const part of parts) sum.add(new Histogram(part.counts()));
  assert.equal(sum.total, 10_000);
  for (const share of [0.1, 0.5, 0.99]) assert.equal(sum.percentile(share), whole.percentile(share));
});

test('an empty histogram answers zero', () => assert.equal(new Histogram().percentile(0.99), 0));
