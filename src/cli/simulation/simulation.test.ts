import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { propertyBag } from './fleet.ts';
import { Histogram } from './histogram.ts';
import { defaultTemplate, payloadOfSize, payloadTemplate } from './payload.ts';

const facts = { deviceId: 'd"1', sequence: 12, time: Date.UTC(2026, 0, 1), random: () => 0.5 };

test('a template’s values are filled in', () => {
  const text = '{{device}} {{ sequence }} {{time}} {{random 10 20}} {{integer 1 6}} {{random}} {plain}';
  assert.equal(payloadTemplate(text)(facts), 'd"1 12 2026-01-01T00:00:00.000Z 15.00 4 0.50 {plain}');
  assert.equal(JSON.parse(payloadTemplate(defaultTemplate)({ ...facts, deviceId: 'd1' })).sequence, 12);
  for (const wrong of ['{{nobody}}', '{{random 2 1}}', '{{integer a b}}', '{{device 1}}', '{{}}']) {
    assert.throws(() => payloadTemplate(wrong), /is not known/, wrong);
  }
});

test('integers reach both ends of their range and no further', () => {
  const die = payloadTemplate('{{integer 1 6}}');
  assert.deepEqual(
    [0, 0.999].map((value) => die({ ...facts, random: () => value })),
    ['1', '6'],
  );
});

test('a payload of a size has that many bytes, and is JSON where JSON fits', () => {
  fc.assert(
    fc.property(fc.nat(300), fc.nat(1_000_000), fc.constantFrom('d1', 'Gerät-1'), (size, sequence, deviceId) => {
      const text = payloadOfSize(size)({ ...facts, deviceId, sequence });
      assert.equal(Buffer.byteLength(text), size);
      if (size > 60) assert.equal(JSON.parse(text).sequence, sequence);
    }),
  );
});

test('percentiles are right to two per cent', () => {
  const histogram = new Histogram();
  assert.equal(histogram.percentile(0.5), undefined);
  for (let ms = 1; ms <= 1000; ms++) histogram.record(ms);
  for (const share of [0.01, 0.5, 0.9, 0.99]) {
    const found = histogram.percentile(share) ?? 0;
    assert.ok(Math.abs(found / (share * 1000) - 1) <= 0.021, `${share}: ${found}`);
  }
  assert.equal(histogram.percentile(1), 1000);
  histogram.record(0);
  histogram.record(10 ** 12);
  assert.equal(histogram.max, 10 ** 12);
  histogram.reset();
  assert.equal(histogram.count, 0);
});

test('the property bag is encoded, system properties first', () => {
  assert.equal(
    propertyBag('application/json', [['a b', 'c/d&e']]),
    '%24.ct=application%2Fjson&%24.ce=utf-8&a%20b=c%2Fd%26e',
  );
  assert.equal(propertyBag(undefined, []), '');
});
