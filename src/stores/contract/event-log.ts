import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '../../../test/drivers/until.ts';
import { VirtualClock } from '../../base/clock.ts';
import type { DurabilityWaiter, EventLog } from '../../core/events/ports.ts';
import type { EventRun } from '../../core/events/types.ts';

/** How the suite gets a log. Every call makes a new, empty one of three partitions. */
export interface EventLogFactory {
  readonly name: string;
  open(options: EventLogTestOptions): Promise<OpenedEventLog>;
  /** Its engine has a clock and a retention of its own: what needs the test's clock is left out, and tested beside this suite. */
  readonly hasOwnTime?: true;
}

export interface EventLogTestOptions {
  readonly clock: VirtualClock;
  readonly retentionMs: number;
}

export interface OpenedEventLog {
  readonly log: EventLog;
  /** Carries out retention now. */
  retain(): Promise<void>;
  /** Closes the log and opens it again on the same data; undefined for a log that keeps nothing. */
  readonly reopen?: () => Promise<OpenedEventLog>;
  close(): Promise<void>;
}

const PARTITIONS = 3;
const START = Date.UTC(2026, 0, 1);
const HOUR_MS = 3_600_000;

/** What every event log must do; run by each implementation's own test file. */
export function eventLogContract(factory: EventLogFactory): void {
  const withLog = (
    behaviour: string,
    body: (opened: OpenedEventLog, clock: VirtualClock) => Promise<OpenedEventLog | undefined>,
    needs?: 'clock',
  ): void => {
    if (needs === 'clock' && factory.hasOwnTime === true) return;
    test(`${factory.name}: ${behaviour}`, async () => {
      const clock = new VirtualClock(START);
      const first = await factory.open({ clock, retentionMs: HOUR_MS });
      let last: OpenedEventLog | undefined;
      try {
        last = await body(first, clock);
      } finally {
        await (last ?? first).close();
      }
    });
  };

  withLog('an empty log has nothing to read and begins at sequence number 0', async ({ log }) => {
    assert.equal(log.partitionCount, PARTITIONS);
    assert.equal(log.createdTime, START);
    assert.deepEqual(log.health(), { ok: true });
    assert.deepEqual(await log.partition(1), { partition: 1, firstSequence: 0, lastSequence: -1, lastTime: 0 });
    assert.deepEqual(await log.read(1, 0, 1000), []);
    for (const kind of ['start', 'end'] as const) assert.equal(await log.seek(1, { kind }), 0);
    assert.equal(await log.seek(1, { kind: 'time', time: START, inclusive: true }), 0);
    assert.equal(await log.seek(1, { kind: 'sequence', sequence: 7, inclusive: false }), 8);
    return undefined;
  });

  withLog('records come back as they were, in order, under contiguous sequence numbers', async ({ log }) => {
    const texts = Array.from({ length: 50 }, (_, at) => `record ${at} ${'x'.repeat(at * 7)}`);
    await append(log, 0, texts.slice(0, 20));
    await append(log, 2, ['elsewhere', '']);
    await append(log, 0, texts.slice(20));
    assert.deepEqual(await readAll(log, 0), texts);
    assert.deepEqual(await readAll(log, 2), ['elsewhere', '']);
    assert.deepEqual(await readAll(log, 1), []);
    assert.equal((await log.partition(0)).lastSequence, 49);
    assert.deepEqual(log.lastKnown(0), await log.partition(0), 'nobody else writes this log');
    assert.deepEqual(await readAll(log, 0, 33), texts.slice(33));
    return undefined;
  });

  withLog('a read gives about as many bytes as asked for, and at least one record', async ({ log }) => {
    await append(
      log,
      0,
      Array.from({ length: 40 }, (_, at) => `${at}`.padStart(96, '.')),
    );
    const [run, ...rest] = await log.read(0, 5, 1000);
    assert.deepEqual(rest, []);
    assert.deepEqual([run.firstSequence, run.count], [5, 10]);
    assert.equal(run.end - run.start, 1000);
    assert.equal((await log.read(0, 7, 0))[0].count, 1);
    assert.deepEqual(await readAll(log, 0, 0, 1), await readAll(log, 0));
    assert.deepEqual(await log.read(0, 40, 1000), []);
    return undefined;
  });

  withLog('an answer has no gap where a record did not fit', async ({ log }) => {
    const texts = Array.from({ length: 60 }, (_, at) => `${at}`.padStart(1 + ((at * 37) % 200), '.'));
    for (let at = 0; at < texts.length; at += 3) await append(log, 0, texts.slice(at, at + 3));
    for (const bytesMax of [1, 50, 150, 333, 1000, 2500]) assert.deepEqual(await readAll(log, 0, 0, bytesMax), texts);
    return undefined;
  });

  withLog('records of one turn of the event loop, of all partitions, become durable together', async ({ log }) => {
    const told: string[] = [];
    const waiter = recorder(told, 'w');
    for (let at = 0; at < 9; at++) {
      put(log, at % PARTITIONS, `r${at}`);
      log.writer.await(waiter);
    }
    const batch = log.writer.batch;
    assert.deepEqual(told, []);
    assert.equal(log.lastKnown(0).lastSequence, -1);
    await durable(log);
    assert.deepEqual(told, [`w durable ${batch}`]);
    assert.deepEqual(await readAll(log, 1), ['r1', 'r4', 'r7']);
    return undefined;
  });

  withLog('waiters are told once per batch, in order, of batches in order', async ({ log }) => {
    const told: string[] = [];
    const waiters = ['a', 'b', 'c'].map((name) => recorder(told, name));
    const first = log.writer.batch;
    for (const name of [0, 1, 0, 2, 1]) {
      put(log, 0, 'x');
      log.writer.await(waiters[name]);
    }
    await durable(log);
    const second = log.writer.batch;
    put(log, 0, 'y');
    log.writer.await(waiters[2]);
    await durable(log);
    assert.ok(second > first);
    assert.deepEqual(told, [`a durable ${first}`, `b durable ${first}`, `c durable ${first}`, `c durable ${second}`]);
    return undefined;
  });

  withLog('waiting without a record of one’s own is answered too', async ({ log }) => {
    await durable(log);
    put(log, 0, 'x');
    await durable(log);
    await durable(log);
    assert.deepEqual(await readAll(log, 0), ['x']);
    return undefined;
  });

  withLog('what is durable is readable when waiters and watchers hear of it', async ({ log }) => {
    const seen: string[] = [];
    const reads: Promise<unknown>[] = [];
    const look = (who: string): void => {
      seen.push(`${who} ${log.lastKnown(1).lastSequence}`);
      reads.push(log.read(1, 0, 1000).then((runs) => seen.push(`${who} read ${runs.length}`)));
    };
    const stop = log.watch(1, () => look('watcher'));
    log.watch(0, () => look('watcher of another partition'));
    put(log, 1, 'x');
    log.writer.await({ batchDurable: () => look('waiter'), batchFailed: (_, error) => assert.fail(error) });
    await durable(log);
    await until('the watcher is told', () => seen.includes('watcher 0'));
    await Promise.all(reads);
    if (factory.hasOwnTime !== true) assert.equal(seen[0], 'waiter 0');
    assert.deepEqual(seen.toSorted(), ['waiter 0', 'waiter read 1', 'watcher 0', 'watcher read 1']);
    stop();
    stop();
    await append(log, 1, ['y']);
    assert.equal(seen.length, 4);
    return undefined;
  });

  withLog('a reader that follows the log gets every record once', async ({ log }) => {
    const got: string[] = [];
    let next = 0;
    let reading = Promise.resolve();
    const stop = log.watch(0, () => {
      reading = reading.then(async () => {
        for (;;) {
          const runs = await log.read(0, next, 300);
          if (runs.length === 0) return;
          for (const run of runs) {
            assert.equal(run.firstSequence, next);
            got.push(...textsOf(run));
            next += run.count;
          }
        }
      });
    });
    const sent: string[] = [];
    for (let turn = 0; turn < 40; turn++) {
      const texts = Array.from({ length: turn % 5 }, (_, at) => `t${turn} r${at}`);
      sent.push(...texts);
      await append(log, 0, texts);
    }
    await until('the reader has read as many', () => got.length >= sent.length);
    await reading;
    stop();
    assert.deepEqual(got, sent);
    return undefined;
  });

  withLog('more than one batch of records waits without loss or disorder', async ({ log }) => {
    const told: string[] = [];
    const big = 'z'.repeat(3 * 1024 * 1024);
    const first = log.writer.batch;
    for (let at = 0; at < 5; at++) {
      put(log, 0, `${at}${big}`);
      log.writer.await(recorder(told, `w${at}`));
    }
    assert.ok(log.writer.batch > first);
    await durable(log);
    assert.deepEqual(
      told.map((line) => line.split(' ')[0]),
      ['w0', 'w1', 'w2', 'w3', 'w4'],
    );
    assert.deepEqual(
      (await readAll(log, 0)).map((text) => [text[0], text.length]),
      ['0', '1', '2', '3', '4'].map((digit) => [digit, big.length + 1]),
    );
    return undefined;
  });

  withLog('a writer that outruns the disk is congested until half of it is durable', async ({ log }) => {
    const chunk = 'z'.repeat(1024 * 1024);
    let count = 0;
    while (!log.writer.congested) {
      put(log, count % PARTITIONS, chunk);
      count++;
    }
    assert.ok(count >= 10 && count <= 20, `${count} MiB`);
    await new Promise<void>((resolve) => log.writer.whenRelieved(resolve));
    assert.equal(log.writer.congested, false);
    await durable(log);
    await new Promise<void>((resolve) => log.writer.whenRelieved(resolve));
    return undefined;
  });

  withLog(
    'enqueued time is the clock’s and never goes back',
    async ({ log }, clock) => {
      await append(log, 0, ['a']);
      clock.advance(5000);
      await append(log, 0, ['b']);
      clock.setWall(START - 1_000_000);
      await append(log, 0, ['c']);
      await append(log, 1, ['d']);
      clock.setWall(START + 9000);
      await append(log, 0, ['e']);
      const times = (await log.read(0, 0, 10_000)).flatMap((run) =>
        new Array<number>(run.count).fill(run.time - START),
      );
      assert.deepEqual(times, [0, 5000, 5000, 9000]);
      assert.equal((await log.partition(0)).lastTime, START + 9000);
      assert.equal((await log.partition(1)).lastTime, START + 5000);
      return undefined;
    },
    'clock',
  );

  withLog(
    'a reader begins at a sequence number or a time, with it or behind it',
    async ({ log }, clock) => {
      for (let at = 0; at < 10; at++) {
        await append(log, 0, [`a${at}`, `b${at}`]);
        if (at % 3 === 0) await append(log, 1, [`c${at}`]);
        clock.advance(1000);
      }
      const seek = (partition: number, kind: 'sequence' | 'time', value: number, inclusive: boolean) =>
        log.seek(
          partition,
          kind === 'time' ? { kind, time: START + value, inclusive } : { kind, sequence: value, inclusive },
        );
      assert.equal(await log.seek(0, { kind: 'start' }), 0);
      assert.equal(await log.seek(0, { kind: 'end' }), 20);
      assert.equal(await seek(0, 'sequence', 7, true), 7);
      assert.equal(await seek(0, 'sequence', 7, false), 8);
      assert.equal(await seek(0, 'sequence', -1, false), 0);
      assert.equal(await seek(0, 'sequence', 99, true), 99);
      assert.equal(await seek(0, 'time', 3000, true), 6);
      assert.equal(await seek(0, 'time', 3000, false), 8);
      assert.equal(await seek(0, 'time', 2500, true), 6);
      assert.equal(await seek(0, 'time', -5000, true), 0);
      assert.equal(await seek(0, 'time', 9000, true), 18);
      assert.equal(await seek(0, 'time', 9000, false), 20);
      assert.equal(await seek(0, 'time', 99_000, true), 20);
      assert.equal(await seek(1, 'time', 1000, true), 1);
      assert.equal(await seek(1, 'time', 6000, false), 3);
      assert.equal(await seek(2, 'time', 0, true), 0);
      return undefined;
    },
    'clock',
  );

  withLog(
    'retention removes the oldest and never restarts sequence numbers',
    async (opened, clock) => {
      const { log } = opened;
      await append(log, 0, ['old 0', 'old 1', 'old 2']);
      clock.advance(2 * HOUR_MS);
      await append(log, 1, ['young']);
      await opened.retain();
      assert.deepEqual(await log.partition(0), { partition: 0, firstSequence: 3, lastSequence: 2, lastTime: START });
      assert.deepEqual(await log.read(0, 0, 1000), []);
      assert.equal(await log.seek(0, { kind: 'start' }), 3);
      assert.equal(await log.seek(0, { kind: 'time', time: 0, inclusive: true }), 3);
      await append(log, 0, ['new']);
      const [run] = await log.read(0, 0, 1000);
      assert.deepEqual([run.firstSequence, textsOf(run)], [3, ['new']]);
      assert.deepEqual(await readAll(log, 1), ['young']);
      clock.advance(2 * HOUR_MS);
      await opened.retain();
      await opened.retain();
      assert.deepEqual([(await log.partition(0)).firstSequence, (await log.partition(1)).firstSequence], [4, 1]);
      return undefined;
    },
    'clock',
  );

  withLog(
    'a log that is opened again goes on where it was',
    async (opened, clock) => {
      if (opened.reopen === undefined) return undefined;
      await append(opened.log, 0, ['a', 'b']);
      clock.advance(1000);
      await append(opened.log, 2, ['c']);
      clock.setWall(START - 5000);
      const second = await opened.reopen();
      assert.equal(second.log.createdTime, START);
      assert.deepEqual(await second.log.partition(0), {
        partition: 0,
        firstSequence: 0,
        lastSequence: 1,
        lastTime: START,
      });
      await append(second.log, 0, ['d']);
      assert.equal((await second.log.partition(0)).lastTime, START + 1000);
      const third = await second.reopen?.();
      assert.ok(third !== undefined);
      assert.deepEqual(await readAll(third.log, 0), ['a', 'b', 'd']);
      assert.deepEqual(await readAll(third.log, 2), ['c']);
      clock.advance(3 * HOUR_MS);
      await third.retain();
      const fourth = await third.reopen?.();
      assert.ok(fourth !== undefined);
      assert.equal((await fourth.log.partition(0)).firstSequence, 3);
      await append(fourth.log, 0, ['e']);
      assert.equal((await fourth.log.read(0, 0, 100))[0].firstSequence, 3);
      return fourth;
    },
    'clock',
  );
}

/** Reserves and fills a record without waiting. */
export function put(log: EventLog, partition: number, text: string): void {
  const bytes = Buffer.from(text);
  const at = log.writer.reserve(partition, bytes.length);
  bytes.copy(log.writer.bytes(partition), at);
}

/** Resolves when everything reserved so far is durable; rejects when its batch fails. */
export function durable(log: EventLog): Promise<void> {
  return new Promise((resolve, reject) => {
    log.writer.await({ batchDurable: () => resolve(), batchFailed: (_, error) => reject(error) });
  });
}

export async function append(log: EventLog, partition: number, texts: readonly string[]): Promise<void> {
  for (const text of texts) put(log, partition, text);
  await durable(log);
}

/** All records from `from` on, in reads of `bytesMax`; checks that sequence numbers are contiguous. */
export async function readAll(
  log: EventLog,
  partition: number,
  from?: number,
  bytesMax = 64 * 1024,
): Promise<string[]> {
  const texts: string[] = [];
  let next = from ?? (await log.partition(partition)).firstSequence;
  for (;;) {
    const runs = await log.read(partition, next, bytesMax);
    if (runs.length === 0) return texts;
    for (const run of runs) {
      assert.equal(run.firstSequence, next);
      texts.push(...textsOf(run));
      next += run.count;
    }
  }
}

export function textsOf(run: EventRun): string[] {
  const texts: string[] = [];
  let at = run.start;
  while (at < run.end) {
    const length = run.bytes.readUInt32LE(at);
    texts.push(run.bytes.toString('utf8', at + 4, at + 4 + length));
    at += 4 + length;
  }
  assert.equal(texts.length, run.count);
  return texts;
}

function recorder(told: string[], name: string): DurabilityWaiter {
  return {
    batchDurable: (batch) => told.push(`${name} durable ${batch}`),
    batchFailed: (batch) => told.push(`${name} failed ${batch}`),
  };
}
