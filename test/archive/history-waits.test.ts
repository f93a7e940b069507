/**
 * History where the archive lags by all that the log keeps: a reader waits for what is on its way into the archive, and goes on where nothing
 * comes any more.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Clock } from '../../src/base/clock.ts';
import { limits } from '../../src/base/limits.ts';
import type { Archiver, ArchiverParts } from '../../src/core/archive/archiver.ts';
import type { HistoryParts } from '../../src/core/archive/history.ts';
import { historyLog } from '../../src/core/archive/history.ts';
import type { ArchiveStatus } from '../../src/core/archive/types.ts';
import { HubError } from '../../src/core/errors.ts';
import type { EventLog } from '../../src/core/events/ports.ts';
import type { CursorStore } from '../../src/core/routes/ports.ts';
import { routedLog } from '../../src/core/routes/routed-log.ts';
import { createHistoryFiles } from '../../src/records/archive/history-files.ts';
import { routingMark } from '../../src/records/record-codec.ts';
import { archivesCheck } from '../../src/server/observe/health/archive-checks.ts';
import { ArchiveRig, listOf, plainBuilders, trimmed } from '../drivers/archive-rig.ts';
import { until } from '../drivers/until.ts';

const settings = { fileSeconds: 1, fileBytes: 1024 * 1024 };

/** The archive and history of one log, which begins at `first`. */
class Rig {
  readonly base: ArchiveRig;
  first = 0;
  archiver: Archiver | undefined;
  /** Files are being made until this is called. */
  finishFile: () => void = () => {};

  private constructor(base: ArchiveRig) {
    this.base = base;
  }

  static async open(): Promise<Rig> {
    return new Rig(await ArchiveRig.open(settings));
  }

  get log(): EventLog {
    return trimmed(this.base, () => this.first);
  }

  start(more: Partial<ArchiverParts> = {}): Archiver {
    this.archiver = this.base.start({ log: routedLog(this.log, routingMark), ...more });
    return this.archiver;
  }

  /** Starts an archive that has read all events for its first file, which is not ready before `finishFile` is called. */
  async startMaking(): Promise<Archiver> {
    const ready = new Promise<void>((resolve) => {
      this.finishFile = resolve;
    });
    let hasRead = false;
    const archiver = this.start({
      builders: {
        begin(scheme, first) {
          const builder = plainBuilders.begin(scheme, first);
          return {
            ...builder,
            async finish() {
              hasRead = true;
              await ready;
              return builder.finish();
            },
          };
        },
      },
    });
    await until('the file is being made', () => hasRead);
    return archiver;
  }

  history(more: Partial<HistoryParts> = {}): EventLog {
    const { cursors, store, clock } = this.base;
    return historyLog({
      ...{ log: this.log, cursors, files: createHistoryFiles(), clock },
      archive: () => ({ endpoint: 'cold', since: 1, store, ...(this.archiver && { archiver: this.archiver }) }),
      ...more,
    });
  }

  /** As another node has it, which does not write the archive. */
  historyElsewhere(): EventLog {
    return this.history({ archive: () => ({ endpoint: 'cold', since: 1, store: this.base.store }) });
  }
}

const firstOf = async (log: EventLog, from: number): Promise<number | undefined> =>
  (await log.read(0, from, 1000))[0]?.firstSequence;

/** Fails if the reading does not wait. */
async function waits(reading: Promise<number | undefined>): Promise<void> {
  const first = await Promise.race([
    reading,
    new Promise<string>((resolve) => void setTimeout(resolve, 1500, 'waits')),
  ]);
  assert.equal(first, 'waits');
}

/** A clock by which waiting takes no time. */
function hurried(): Clock & { readonly waited: number } {
  let now = 0;
  return {
    now: () => Date.now(),
    monotonic: () => now,
    after(ms, callback) {
      now += ms;
      const timer = setTimeout(callback, 1);
      return () => clearTimeout(timer);
    },
    get waited() {
      return now;
    },
  };
}

for (const who of ['this node', 'another node'] as const) {
  test(`events that the archive of ${who} has read, and no file lists yet, are waited for where the log has removed them`, async () => {
    const rig = await Rig.open();
    await rig.base.write(0, 10);
    const archiver = await rig.startMaking();
    await rig.base.write(0, 5);
    rig.first = 12;
    const log = who === 'this node' ? rig.history() : rig.historyElsewhere();
    assert.equal(await log.seek(0, { kind: 'start' }), 0);
    assert.equal(await log.seek(0, { kind: 'sequence', sequence: 4, inclusive: true }), 4);
    assert.equal(await firstOf(log, 12), 12, 'what the log has needs no file');
    const reading = firstOf(log, 4);
    await waits(reading);
    rig.finishFile();
    assert.equal(await reading, 4);
    assert.equal(await firstOf(log, 0), 0);
    await until('all of it is archived', async () => (await listOf(rig.base, 0)).length === 2);
    // Two that were never read are gone.
    assert.equal(await firstOf(log, 10), 12);
    await archiver.close();
  });
}

test('who has waited for long is told, and may try again; all who wait look together', async () => {
  const rig = await Rig.open();
  await rig.base.write(0, 10);
  const archiver = await rig.startMaking();
  rig.first = 10;
  await rig.base.write(0, 5);
  let looks = 0;
  const { cursors } = rig.base;
  const clock = hurried();
  const counted: CursorStore = {
    ...cursors,
    list() {
      looks++;
      return cursors.list();
    },
  };
  const log = rig.history({ clock, cursors: counted });
  const told = (error: unknown): boolean => {
    assert.ok(error instanceof HubError);
    assert.equal(error.code, 'ServiceUnavailable');
    assert.match(error.message, /History cannot be read at \d yet: the archive is about to list events from \d on/);
    return true;
  };
  await assert.rejects(firstOf(log, 2), told);
  assert.ok(clock.waited >= limits.historyWaitMs);
  looks = 0;
  const real = rig.history({ cursors: counted });
  const readers = Array.from({ length: 50 }, () => firstOf(real, 2));
  await waits(Promise.race(readers));
  assert.ok(looks < 6, `${looks} looks`);
  rig.finishFile();
  assert.deepEqual(await Promise.all(readers), Array(50).fill(2));
  await archiver.close();
});

for (const who of ['this node', 'another node'] as const) {
  test(`what the log has removed behind a file that ${who} cannot store is lost, and a reader goes on`, async () => {
    const rig = await Rig.open();
    let isAway = true;
    rig.base.store.fault = () => (isAway ? 'refuse' : undefined);
    await rig.base.write(0, 10);
    const archiver = rig.start();
    await until('it is listed', () => archiver.status().state === 'degraded');
    await rig.base.write(0, 20);
    rig.first = 25;
    const log = who === 'this node' ? rig.history() : rig.historyElsewhere();
    assert.equal(await firstOf(log, 10), 25);
    assert.equal(await firstOf(log, 17), 25);
    const reading = firstOf(log, 4);
    await waits(reading);
    isAway = false;
    assert.equal(await reading, 4);
    const health = async (status: ArchiveStatus): Promise<unknown> =>
      archivesCheck({ known: () => [{ name: 'cold', status }], retentionSeconds: 3600 }).look();
    await until('the loss is told', () => archiver.status().totals.missed === 15);
    assert.match(JSON.stringify(await health(archiver.status())), /15 events for the archive cold were removed by/);
    await archiver.close();
  });
}

test('what the log has removed while another partition holds the archive up is lost, and a reader goes on', async () => {
  const rig = await Rig.open();
  rig.base.store.fault = () => 'refuse';
  await rig.base.write(1, 10);
  const archiver = rig.start();
  await until('it is listed', () => archiver.status().state === 'degraded');
  await rig.base.write(0, 20);
  rig.first = 15;
  const log = rig.history();
  assert.equal(await firstOf(log, 3), 15);
  assert.equal(await firstOf(log, await log.seek(0, { kind: 'start' })), 15);
  await archiver.close();
});

test('an archive that nobody writes now keeps nobody waiting', async () => {
  const rig = await Rig.open();
  await rig.base.write(0, 10);
  const archiver = rig.start();
  await archiver.close();
  rig.archiver = undefined;
  rig.first = 7;
  assert.equal(await firstOf(rig.history(), 3), 7);
});

test('an archive that is not open is waited for, and one that is removed is not', async () => {
  const rig = await Rig.open();
  await rig.base.write(0, 10);
  const archiver = rig.start();
  await until('all is archived', () => archiver.unarchived().get(0) === 10 && archiver.status().lagEvents === 0);
  await archiver.close();
  rig.first = 10;
  const { store } = rig.base;
  let isOpen = false;
  const log = rig.history({ archive: () => (isOpen ? { endpoint: 'cold', since: 1, store } : 'notOpen') });
  assert.equal(await log.seek(0, { kind: 'start' }), 0);
  const reading = firstOf(log, 3);
  await waits(reading);
  isOpen = true;
  assert.equal(await reading, 3);
  await rig.base.write(0, 3);
  assert.equal(await firstOf(rig.history({ archive: () => undefined }), 3), 10);
});

test('a store that does not answer is waited for', async () => {
  const rig = await Rig.open();
  await rig.base.write(0, 10);
  const archiver = rig.start();
  await until('all is archived', () => archiver.unarchived().get(0) === 10 && archiver.status().lagEvents === 0);
  await archiver.close();
  rig.first = 10;
  const { store } = rig.base;
  const { read } = store;
  store.read = () => Promise.reject(Object.assign(new Error('no route to it'), { name: 'ObjectError' }));
  const log = rig.history();
  const reading = firstOf(log, 3);
  await waits(reading);
  await assert.rejects(firstOf(rig.history({ clock: hurried() }), 3), /the archive's store does not answer: no route/);
  await assert.rejects(rig.history().seek(0, { kind: 'time', time: 0, inclusive: true }), {
    code: 'ServiceUnavailable',
  });
  store.read = read;
  assert.equal(await reading, 3);
});

test('a time that lies in what is on its way is not answered yet; a later one is', async () => {
  const rig = await Rig.open();
  await rig.base.write(0, 10);
  const archiver = await rig.startMaking();
  await new Promise<void>((resolve) => void setTimeout(resolve, 20));
  await rig.base.write(0, 5);
  await new Promise<void>((resolve) => void setTimeout(resolve, 20));
  await rig.base.write(0, 5);
  rig.first = 10;
  const log = rig.history();
  const { lastTime } = rig.base.log.lastKnown(0);
  assert.equal(await log.seek(0, { kind: 'time', time: lastTime, inclusive: true }), 15);
  await assert.rejects(log.seek(0, { kind: 'time', time: 0, inclusive: true }), { code: 'ServiceUnavailable' });
  rig.finishFile();
  await until('it is archived', async () => (await listOf(rig.base, 0))[0]?.bytes !== undefined);
  assert.equal(await log.seek(0, { kind: 'time', time: 0, inclusive: true }), 0);
  await archiver.close();
});

test('a file that was written again with another length is read as it is now', async () => {
  const rig = await Rig.open();
  let added = 'a';
  await rig.base.write(0, 10);
  const archiver = rig.start({
    enriched: async (records) => records.map((record) => ({ ...record, enrichments: [['site', added]] })),
  });
  await until('it is stored', async () => (await listOf(rig.base, 0))[0]?.bytes !== undefined);
  let first = 0;
  const log = rig.history({ log: trimmed(rig.base, () => first) });
  await rig.base.write(0, 5);
  first = 10;
  assert.equal(await firstOf(log, 3), 3);
  added = 'b'.repeat(10_000);
  const [{ bytes }] = await listOf(rig.base, 0);
  archiver.rewrite(0, 0);
  await until('it is written again', async () => (await listOf(rig.base, 0))[0]?.bytes !== bytes);
  assert.equal(await firstOf(rig.history({ log: trimmed(rig.base, () => 10) }), 3), 3);
  // Who had its list before, and nothing else of it.
  const late = rig.history({ log: trimmed(rig.base, () => 10) });
  assert.equal(await late.seek(0, { kind: 'start' }), 0);
  const [{ bytes: second }] = await listOf(rig.base, 0);
  added = 'c';
  archiver.rewrite(0, 0);
  await until('it is written again', async () => (await listOf(rig.base, 0))[0]?.bytes !== second);
  assert.equal(await firstOf(late, 3), 3);
  await archiver.close();
});

test('what retention takes while history looks for older events is read from the archive', async () => {
  const rig = await Rig.open();
  await rig.base.write(0, 10);
  rig.first = 5;
  const archiver = rig.start();
  await until('the rest is archived', async () => (await listOf(rig.base, 0))[0]?.bytes !== undefined);
  await archiver.close();
  rig.archiver = undefined;
  await rig.base.write(0, 5);
  const { cursors } = rig.base;
  /** Of a log that begins at 5, and at 10 when the list of files has been asked for. */
  const history = (): EventLog => {
    rig.first = 5;
    const taking: CursorStore = {
      ...cursors,
      async rows(...parts) {
        const rows = await cursors.rows(...parts);
        rig.first = 10;
        return rows;
      },
    };
    return rig.history({ cursors: taking });
  };
  assert.equal(await firstOf(history(), 0), 5);
  assert.equal(await history().seek(0, { kind: 'start' }), 5);
  assert.equal(await history().seek(0, { kind: 'sequence', sequence: 2, inclusive: true }), 5);
  assert.equal(await history().seek(0, { kind: 'time', time: 0, inclusive: true }), 5);
});
