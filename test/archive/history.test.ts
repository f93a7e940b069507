/** History: one log, of which the older part is in an archive. What readers get is what the log would have given. */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import fc from 'fast-check';
import { limits } from '../../src/base/limits.ts';
import { historyLog } from '../../src/core/archive/history.ts';
import type { EventLog } from '../../src/core/events/ports.ts';
import type { EventPosition, EventRun } from '../../src/core/events/types.ts';
import { createHistoryFiles } from '../../src/records/archive/history-files.ts';
import { ArchiveRig, trimmed } from '../drivers/archive-rig.ts';
import { until } from '../drivers/until.ts';

/** Events of partition 0: in the log, and those below `ARCHIVED` in the archive. */
const EVENTS = 25_000;
let rig: ArchiveRig;
let archived = 0;
/** Enqueued time and record of each event, as the log has them. */
const whole: { readonly time: number; readonly record: Buffer }[] = [];

function eventsOf(runs: readonly EventRun[]): { sequence: number; time: number; record: Buffer }[] {
  return runs.flatMap(({ firstSequence, count, time, bytes, start }) => {
    let at = start;
    return Array.from({ length: count }, (_, nth) => {
      const end = at + 4 + bytes.readUInt32LE(at);
      const record = Buffer.from(bytes.subarray(at + 4, end));
      // Where it was to go is no part of the message.
      record.fill(0, 1, 4);
      at = end;
      return { sequence: firstSequence + nth, time, record };
    });
  });
}

before(async () => {
  rig = await ArchiveRig.open({ fileSeconds: 1, fileBytes: 1024 * 1024 });
  for (let nth = 0; nth < 25; nth++)
    await rig.write(0, EVENTS / 25, { body: (each) => `{"n":${nth * 1000 + each},"a":[1,2]}` });
  for (let next = 0; next < EVENTS; ) {
    for (const { sequence, time, record } of eventsOf(await rig.log.read(0, next, 1 << 20))) {
      assert.equal(sequence, whole.length);
      whole.push({ time, record });
      next = sequence + 1;
    }
  }
  const archiver = rig.start();
  await until('all is archived', () => archiver.status().lagEvents === 0 && archiver.unarchived().get(0) === EVENTS);
  archived = rig.store.files.length;
  await archiver.close();
});

function opened(first: () => number): EventLog {
  return historyLog({
    ...{ log: trimmed(rig, first), cursors: rig.cursors, clock: rig.clock, files: createHistoryFiles() },
    archive: () => ({ endpoint: 'cold', since: 1, store: rig.store }),
  });
}

async function readAll(log: EventLog, from: number, bytesMax: number): Promise<void> {
  for (let next = from; next < EVENTS; ) {
    const answer = await log.read(0, next, bytesMax);
    assert.ok(answer.length > 0, `nothing at ${next}`);
    for (const { sequence, time, record } of eventsOf(answer)) {
      assert.equal(sequence, next);
      assert.equal(time, whole[sequence].time);
      assert.ok(record.equals(whole[sequence].record), `record ${sequence}`);
      next++;
    }
    log.giveBack(answer);
  }
}

test('from wherever, by whatever steps, every event comes once, in order, byte for byte, from archive and log', async () => {
  assert.ok(archived >= 5, `${archived} files`);
  await readAll(
    opened(() => 17_321),
    0,
    300_000,
  );
  const log = opened(() => 9_999);
  await fc.assert(
    fc.asyncProperty(fc.nat(EVENTS - 1), fc.integer({ min: 1, max: 3_000_000 }), async (from, bytesMax) => {
      const answer = await log.read(0, from, bytesMax);
      const events = eventsOf(answer);
      assert.equal(events[0].sequence, from);
      for (const [nth, { sequence, time, record }] of events.entries()) {
        assert.equal(sequence, from + nth);
        assert.deepEqual([time, record.equals(whole[sequence].record)], [whole[sequence].time, true]);
      }
      const bytes = answer.reduce((sum, { start, end }) => sum + end - start, 0);
      assert.ok(bytes <= bytesMax + 4096 || events.length === 1 || from >= 9_999, `${bytes} bytes`);
    }),
    { numRuns: 60 },
  );
});

test('while retention goes on below a reader, it misses nothing', async () => {
  let first = 0;
  const log = opened(() => first);
  const { read } = log;
  let reads = 0;
  const moving: EventLog = {
    ...log,
    read(partition, from, bytesMax) {
      first = Math.min(EVENTS - 10, reads++ * 700);
      return read(partition, from, bytesMax);
    },
  };
  await readAll(moving, 0, 90_000);
  assert.ok(first > 20_000);
});

test('places are found as the log would have found them', async () => {
  const log = opened(() => 20_000);
  const position: fc.Arbitrary<EventPosition> = fc.oneof(
    fc.constantFrom<EventPosition>({ kind: 'start' }, { kind: 'end' }),
    fc.record({ kind: fc.constant('sequence' as const), sequence: fc.nat(EVENTS + 5), inclusive: fc.boolean() }),
    fc.record({
      kind: fc.constant('time' as const),
      time: fc.tuple(fc.nat(EVENTS - 1), fc.integer({ min: -1, max: 1 })).map(([nth, by]) => whole[nth].time + by),
      inclusive: fc.boolean(),
    }),
  );
  await fc.assert(
    fc.asyncProperty(position, async (place) => {
      assert.equal(await log.seek(0, place), await rig.log.seek(0, place));
    }),
    { numRuns: 300 },
  );
});

test('what no file has is passed over, as the log passes over what it has lost', async () => {
  const log = opened(() => 20_000);
  const [path] = rig.store.files;
  const bytes = rig.store.objects.get(path) as Buffer;
  rig.store.objects.delete(path);
  await assert.rejects(log.read(0, 0, 1000), /is not in the store/);
  rig.store.objects.set(path, bytes);
  assert.equal((await log.read(0, 0, 1000))[0].firstSequence, 0);
  // No archive at all.
  const alone = historyLog({
    ...{ log: trimmed(rig, () => 20_000), cursors: rig.cursors, clock: rig.clock, files: createHistoryFiles() },
    archive: () => undefined,
  });
  assert.equal((await alone.read(0, 0, 1000))[0].firstSequence, 20_000);
  assert.equal(await alone.seek(0, { kind: 'start' }), 20_000);
});

test('many readers at once: groups are read one at a time and kept within their bound', async () => {
  const log = opened(() => 20_000);
  let reads = 0;
  let atOnce = 0;
  let most = 0;
  const inner = rig.store.read.bind(rig.store);
  rig.store.read = async (...args) => {
    reads++;
    most = Math.max(most, ++atOnce);
    await new Promise((resolve) => setImmediate(resolve));
    atOnce--;
    return inner(...args);
  };
  await Promise.all(Array.from({ length: 20 }, (_, nth) => readAll(log, nth * 10, 200_000)));
  rig.store.read = inner;
  assert.ok(reads < 12 * (archived + 5), `${reads} readings for ${archived} files`);
  assert.ok(most <= 12, `${most} readings at once`);
  assert.ok(limits.historyBytesMax >= 32 * 1024 * 1024);
});
