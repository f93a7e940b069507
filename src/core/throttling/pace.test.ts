import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../base/clock.ts';
import { createPace } from './pace.ts';

async function* pieces(count: number): AsyncGenerator<Uint8Array> {
  for (let nth = 0; nth < count; nth++) yield new Uint8Array(100);
}

/** Reads to the end while the clock is moved; milliseconds of the clock that it took. */
async function timed(clock: VirtualClock, sources: readonly AsyncIterable<Uint8Array>[]): Promise<number> {
  const start = clock.monotonic();
  let left = sources.length;
  for (const source of sources) {
    void (async () => {
      for await (const _ of source);
      left -= 1;
    })();
  }
  for (;;) {
    await new Promise(setImmediate);
    if (left === 0) return clock.monotonic() - start;
    clock.advance(10);
  }
}

test('a device has its rate whatever the number of its transfers, and a second ahead', async () => {
  const clock = new VirtualClock();
  const pace = createPace({ bytesPerSecond: undefined, deviceBytesPerSecond: 1000 }, clock);
  // 4,000 bytes, of which 1,000 come at once.
  const one = await timed(clock, [pace.slowed(pieces(20), 'd1'), pace.slowed(pieces(20), 'd1')]);
  assert.ok(one >= 2990 && one <= 3200, `${one} ms`);
  const next = await timed(clock, [pace.slowed(pieces(10), 'd1')]);
  assert.ok(next >= 900, `a new transfer does not find a full bucket: ${next} ms`);
  assert.ok((await timed(clock, [pace.slowed(pieces(10), 'd2')])) <= 20, 'another device has its own');
  assert.ok((await timed(clock, [pace.slowed(pieces(50), undefined)])) <= 20, 'a back end has none');
});

test('the cap of the hub is for all of them; without caps nothing is between', async () => {
  const clock = new VirtualClock();
  const pace = createPace({ bytesPerSecond: 1000, deviceBytesPerSecond: 10_000 }, clock);
  const sources = ['d1', 'd2', undefined].map((id) => pace.slowed(pieces(10), id));
  const took = await timed(clock, sources);
  assert.ok(took >= 1990 && took <= 2200, `${took} ms`);
  const source = pieces(1);
  assert.equal(
    createPace({ bytesPerSecond: undefined, deviceBytesPerSecond: undefined }, clock).slowed(source, 'd1'),
    source,
  );
});
