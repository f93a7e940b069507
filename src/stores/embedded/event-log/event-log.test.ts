import assert from 'node:assert/strict';
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { VirtualClock } from '../../../base/clock.ts';
import { limits } from '../../../base/limits.ts';
import { seededRandom } from '../../../base/random.ts';
import {
  append,
  type EventLogFactory,
  type EventLogTestOptions,
  eventLogContract,
  type OpenedEventLog,
  readAll,
} from '../../contract/event-log.ts';
import { VirtualDisk } from '../../contract/event-log-disk.ts';
import { eventLogModelTest } from '../../contract/event-log-model.ts';
import { type EmbeddedEventLogOptions, openEmbeddedEventLog } from './event-log.ts';

const factory: EventLogFactory = {
  name: 'embedded event log',
  async open(options) {
    const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'mooring-event-log-'));
    return openIn(folder, options, () => fs.rm(folder, { recursive: true }));
  },
};

async function openIn(
  folder: string,
  options: EventLogTestOptions & Partial<EmbeddedEventLogOptions>,
  cleanUp: () => Promise<void>,
): Promise<OpenedEventLog> {
  const log = await openEmbeddedEventLog({ ...options, folder, name: 'hub', partitionCount: 3 });
  return {
    log,
    retain: () => log.retain(),
    async reopen() {
      await log.close();
      return openIn(folder, options, cleanUp);
    },
    async close() {
      await log.close();
      await cleanUp();
    },
  };
}

eventLogContract(factory);
eventLogModelTest(factory, 15);
eventLogModelTest(
  {
    name: 'embedded event log with small segments on a disk in memory',
    open: (options) =>
      openIn(
        '/log',
        { ...options, files: new VirtualDisk(), random: seededRandom(1), segmentBytes: 1500 },
        async () => {},
      ),
  },
  300,
);

async function newFolder(context: TestContext): Promise<string> {
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'mooring-event-log-'));
  context.after(() => fs.rm(folder, { recursive: true }));
  return path.join(folder, 'events', 'hub');
}

const open = (folder: string, options: Partial<EmbeddedEventLogOptions> = {}) =>
  openEmbeddedEventLog({ folder, name: 'hub', partitionCount: 2, retentionMs: 3_600_000, ...options });

test('readers that are behind read the disk, those that follow do not', async (context) => {
  const log = await open(await newFolder(context));
  const texts = Array.from({ length: 3000 }, (_, at) => `${at}`.padStart(1000, '.'));
  for (let at = 0; at < texts.length; at += 100) await append(log, at % 200 === 0 ? 0 : 1, texts.slice(at, at + 100));
  const even = texts.filter((_, at) => at % 200 < 100);
  assert.deepEqual(await readAll(log, 0), even);
  const reads = log.stats().extentReadsTotal;
  assert.ok(reads > 5 && reads < 20, `${reads} extents for 3 MB`);
  assert.deepEqual(
    await readAll(log, 1, undefined, 300_000),
    texts.filter((_, at) => at % 200 >= 100),
  );
  assert.equal(log.stats().extentReadsTotal, reads, 'partitions share what was read');

  const stop = log.watch(0, () => {});
  const next = log.lastKnown(0).lastSequence + 1;
  await append(log, 0, ['live']);
  assert.deepEqual(await readAll(log, 0, next), ['live']);
  assert.equal(log.stats().extentReadsTotal, reads);
  stop();
  await append(log, 0, ['later']);
  assert.equal(log.stats().tailCacheBytes, 0);
  assert.deepEqual(await readAll(log, 0, next), ['live', 'later']);
  await log.close();
});

test('a time is found among many batches of one segment, equal times included', async () => {
  const clock = new VirtualClock(1000);
  const log = await open('/log', { files: new VirtualDisk(), clock });
  const times: number[][] = [[], []];
  // About 300 KB of journal a step: each extent of the index holds one or two of them.
  for (const [at, time] of [1000, 1000, 1000, 1000, 1001, 1001, 1005, 1005, 1005, 1009, 1010, 1010].entries()) {
    clock.setWall(time);
    const partition = at % 3 === 2 ? 1 : 0;
    await append(log, partition, ['x'.repeat(150_000), 'y'.repeat(150_000)]);
    times[partition].push(time, time);
  }
  assert.equal(log.stats().segments, 1);
  for (const partition of [0, 1]) {
    for (let time = 998; time < 1013; time++) {
      for (const inclusive of [true, false]) {
        const found = times[partition].findIndex((each) => (inclusive ? each >= time : each > time));
        const expected = found === -1 ? times[partition].length : found;
        const actual = await log.seek(partition, { kind: 'time', time, inclusive });
        assert.equal(actual, expected, `partition ${partition}, time ${time}, inclusive ${inclusive}`);
      }
    }
  }
  await log.close();
});

test('retention by size removes the oldest segments, from the disk as well', async (context) => {
  const folder = await newFolder(context);
  const log = await open(folder, { segmentBytes: 50_000, retentionBytes: 200_000 });
  for (let at = 0; at < 50; at++) await append(log, 0, [`${at}`.padStart(10_000, '.')]);
  await log.retain();
  const { bytes, segments, segmentsRemovedTotal } = log.stats();
  assert.ok(bytes <= 200_000 && bytes > 100_000, `${bytes}`);
  assert.ok(segmentsRemovedTotal > 3);
  const files = await fs.readdir(folder);
  assert.equal(files.filter((name) => name.endsWith('.journal')).length, segments);
  const { firstSequence } = log.lastKnown(0);
  assert.equal((await readAll(log, 0, firstSequence)).length, 50 - firstSequence);
  const [run] = await log.read(0, 0, 1);
  assert.equal(run.firstSequence, firstSequence, 'a reader from before begins at the first that is kept');
  await log.close();
});

test('events that are wanted outlive their age, not the bound on their bytes', async () => {
  const clock = new VirtualClock();
  const log = await open('/log', {
    ...{ files: new VirtualDisk(), clock, segmentBytes: 2000, retentionMs: 1000, retentionWaits: true },
  });
  const first = async (partition = 0): Promise<number> => (await log.partition(partition)).firstSequence;
  for (let nth = 0; nth < 8; nth++) {
    await append(log, nth % 2, new Array<string>(10).fill('x'.repeat(150)));
    clock.advance(10);
  }
  clock.advance(limits.segmentAgeMsMin + 2000);
  await log.retain();
  assert.deepEqual([await first(0), await first(1)], [0, 0], 'until it is known what is wanted, all of it is');
  log.keepFor(() => [25, 13]);
  await log.retain();
  const [zero, one] = [await first(0), await first(1)];
  assert.ok(zero <= 25 && one <= 13, `${zero} and ${one} are kept`);
  assert.ok(zero >= 10 || one >= 10, 'what nobody wants is not');
  log.keepFor(() => []);
  await log.retain();
  assert.deepEqual([await first(0), await first(1)], [40, 40]);
  await log.close();

  const bounded = await open('/bounded', {
    ...{ files: new VirtualDisk(), clock, segmentBytes: 2000, retentionBytes: 10_000, retentionWaits: true },
  });
  for (let nth = 0; nth < 100; nth++) await append(bounded, 0, new Array<string>(10).fill('x'.repeat(150)));
  assert.ok((await bounded.partition(0)).firstSequence > 0);
  await bounded.close();
});

test('retention by size does not wait for its time: the log never has more than its bound and a batch', async () => {
  const log = await open('/log', { files: new VirtualDisk(), clock: new VirtualClock(), retentionBytes: 20_000 });
  // No time passes, so that only what is written can be the occasion.
  for (let at = 0; at < 300; at++) {
    await append(log, 0, [`${at}`.padStart(900, '.')]);
    assert.ok(log.stats().bytes <= 20_000 + limits.segmentBytesMin + 1000, `${log.stats().bytes}`);
  }
  assert.ok(log.lastKnown(0).firstSequence > 150);
  await log.close();
});

test('a bound that is found at the opening is asked for once, with what the log has, and holds while it is open', async () => {
  const disk = new VirtualDisk();
  const clock = new VirtualClock();
  const asked: number[] = [];
  const retentionBytes = async (held: number): Promise<number> => {
    asked.push(held);
    return Math.max(300_000, held);
  };
  let log = await open('/log', { files: disk, clock, retentionBytes });
  for (let at = 0; at < 500; at++) await append(log, 0, [`${at}`.padStart(900, '.')]);
  clock.advance(limits.retentionCheckMs);
  await log.retain();
  const before = log.stats();
  assert.ok(before.bytes <= 300_000 && before.bytes > 200_000, `${before.bytes}`);
  const { firstSequence } = log.lastKnown(0);
  await log.close();
  log = await open('/log', { files: disk, clock, retentionBytes });
  assert.deepEqual(asked, [0, before.bytes]);
  assert.equal(log.lastKnown(0).firstSequence, firstSequence, 'a start deletes nothing by it');
  assert.equal(log.stats().bytesMax, 300_000);
  await log.close();
});

test('a reader keeps going while retention removes what it reads', async () => {
  const disk = new VirtualDisk();
  const log = await open('/log', { files: disk, segmentBytes: 2000, retentionBytes: 6000 });
  for (let at = 0; at < 30; at++) await append(log, 0, [`${at}`.padStart(900, '.')]);
  const reading = Promise.all(Array.from({ length: 30 }, (_, at) => log.read(0, at, 2000)));
  await log.retain();
  const { firstSequence } = log.lastKnown(0);
  assert.ok(firstSequence > 15);
  for (const [at, runs] of (await reading).entries()) {
    assert.ok(runs.length > 0 && runs[0].firstSequence >= at);
  }
  await log.close();
});

test('an answer stays as it is until it is given back, whatever is read, written and removed meanwhile', async (context) => {
  const folder = await newFolder(context);
  const log = await open(folder, { segmentBytes: 8_000_000, retentionBytes: 70_000_000 });
  const unwatch = log.watch(0, () => {});
  const body = (at: number): string => `${at}`.padEnd(200_000, String.fromCharCode(97 + (at % 26)));
  const kept: { readonly first: number; readonly answer: Awaited<ReturnType<typeof log.read>> }[] = [];
  const check = ({ first, answer }: (typeof kept)[number]): void => {
    for (const [at, { bytes, start, end }] of answer.entries()) {
      assert.ok(bytes.toString('latin1', start + 4, end) === body(first + at), `event ${first + at}`);
    }
  };
  // More than the caches hold twice over (`tailCacheBytesMax`, `extentCacheBytesMax`); half of the answers are kept.
  for (let at = 0; at < 450; at++) {
    await append(log, 0, [body(at)]);
    for (const first of [at, Math.floor(at / 2), Math.floor(at / 7)]) {
      const { firstSequence } = log.lastKnown(0);
      if (first < firstSequence) continue;
      const answer = await log.read(0, first, 1);
      check({ first, answer });
      if (kept.length < 40 && at % 2 === 0) kept.push({ first, answer });
      else log.giveBack(answer);
    }
    if (at % 10 === 9) {
      for (const each of kept.splice(0, 7)) {
        check(each);
        log.giveBack(each.answer);
        log.giveBack(each.answer);
      }
    }
  }
  for (const each of kept) check(each);
  const { tailCacheBytes, extentCacheBytes, extentReadsTotal } = log.stats();
  assert.ok(
    extentReadsTotal > 100 && tailCacheBytes <= limits.tailCacheBytesMax,
    `${extentReadsTotal} ${tailCacheBytes}`,
  );
  assert.ok(extentCacheBytes <= limits.extentCacheBytesMax);
  unwatch();
  await log.close();
});

test('the log itself removes what is too old, once a minute', async () => {
  const clock = new VirtualClock();
  const log = await open('/log', { files: new VirtualDisk(), clock });
  await append(log, 0, ['old']);
  clock.advance(3_700_000);
  // Waits behind what the timer has begun.
  await log.retain();
  assert.deepEqual(log.lastKnown(0).firstSequence, 1);
  await log.close();
});

test('a long log opens without being read', async () => {
  const disk = new VirtualDisk();
  const log = await open('/log', { files: disk, segmentBytes: 20_000 });
  for (let at = 0; at < 200; at++) await append(log, at % 2, [`${at}`.padStart(5000, '.')]);
  await log.close();
  const { segments, bytes } = log.stats();
  assert.ok(segments > 40);
  const before = disk.calls;
  const again = await open('/log', { files: disk });
  assert.equal(again.recovery.scanned, 0);
  assert.deepEqual([again.recovery.segments, again.recovery.bytes], [segments, bytes]);
  assert.ok(disk.calls - before < 8 * segments, `${disk.calls - before} calls`);
  assert.equal((await readAll(again, 1)).length, 100);
  await again.close();
});

test('a closed log has made durable what was reserved before, and takes nothing more', async (context) => {
  const folder = await newFolder(context);
  const log = await open(folder);
  const last = append(log, 0, ['last']);
  await log.close();
  await last;
  await assert.rejects(append(log, 0, ['too late']), /closed/);
  assert.deepEqual(log.health().ok, false);
  await log.close();
  const again = await open(folder);
  assert.deepEqual(await readAll(again, 0), ['last']);
  await again.close();
});

test('files and folders are for their owner only', async (context) => {
  const folder = await newFolder(context);
  const log = await open(folder);
  await append(log, 0, ['secret']);
  await log.close();
  for (const name of await fs.readdir(folder)) {
    assert.equal((await fs.stat(path.join(folder, name))).mode & 0o077, 0, name);
  }
  assert.equal((await fs.stat(folder)).mode & 0o077, 0);
});
