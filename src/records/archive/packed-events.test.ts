import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { PLACE_NUMBERS, packEvents } from './packed-events.ts';

test('each record is found at its place, however they lie in the memory that they come from', () => {
  const drawn = fc.array(
    fc.record({ size: fc.integer({ min: 0, max: 40 }), gap: fc.constantFrom(0, 4, 5, 100), isElsewhere: fc.boolean() }),
    { maxLength: 30 },
  );
  fc.assert(
    fc.property(drawn, fc.boolean(), (records, isEnriched) => {
      const memory = [Buffer.alloc(6000), Buffer.alloc(6000)];
      for (const bytes of memory) for (let at = 0; at < bytes.length; at++) bytes[at] = Math.random() * 256;
      const ends = [0, 0];
      const events = records.map(({ size, gap, isElsewhere }, nth) => {
        const of = isElsewhere ? 1 : 0;
        const start = ends[of] + gap;
        const end = start + size;
        ends[of] = end;
        return {
          ...{ sequence: 5 + nth, time: 7 * nth, bytes: memory[of], start, end, isShown: nth % 3 > 0, slots: 1 },
          enrichments: isEnriched ? ([['nth', `${nth}`]] as const) : [],
        };
      });
      const { bytes, places, enrichments } = packEvents(events);
      assert.equal(places.length, events.length * PLACE_NUMBERS);
      for (const [nth, event] of events.entries()) {
        const [sequence, time, shown, start, end] = places.subarray(nth * PLACE_NUMBERS, (nth + 1) * PLACE_NUMBERS);
        assert.deepEqual([sequence, time, shown], [event.sequence, event.time, event.isShown ? 1 : 0]);
        assert.deepEqual(Buffer.from(bytes.subarray(start, end)), event.bytes.subarray(event.start, event.end));
      }
      const sizes = events.reduce((sum, { start, end }) => sum + end - start, 0);
      assert.ok(bytes.length <= sizes + 4 * events.length);
      assert.deepEqual(
        enrichments,
        isEnriched && events.length > 0 ? events.map((event) => event.enrichments) : undefined,
      );
    }),
  );
});
