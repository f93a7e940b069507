/** History where the log's end, the archive's list and its store move while it is read: no event is passed over that a file has or will have. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ArchiverParts } from '../../src/core/archive/archiver.ts';
import { historyLog } from '../../src/core/archive/history.ts';
import type { EventLog } from '../../src/core/events/ports.ts';
import { routedLog } from '../../src/core/routes/routed-log.ts';
import { createHistoryFiles } from '../../src/records/archive/history-files.ts';
import { routingMark } from '../../src/records/record-codec.ts';
import { ArchiveRig, type MemoryStore, trimmed } from '../drivers/archive-rig.ts';
import { until } from '../drivers/until.ts';

const settings = { fileSeconds: 1, fileBytes: 1024 * 1024 };

/** For it no time passes: what it knows of the list is never old. */
function historyOf(rig: ArchiveRig, first: () => number, store: () => MemoryStore = () => rig.store): EventLog {
  return historyLog({
    ...{ log: trimmed(rig, first), cursors: rig.cursors, files: createHistoryFiles() },
    clock: { ...rig.clock, monotonic: () => 0 },
    archive: () => ({ endpoint: 'cold', since: 1, store: store() }),
  });
}

async function archiveAll(rig: ArchiveRig, events: number, more: Partial<ArchiverParts> = {}): Promise<void> {
  const archiver = rig.start(more);
  await until('all is archived', () => archiver.status().lagEvents === 0 && archiver.unarchived().get(0) === events);
  await archiver.close();
}

/** Ten events are in a file that is on the list, and not in the store yet, which refuses. */
async function withListedFile(rig: ArchiveRig) {
  let isAway = true;
  rig.store.fault = () => (isAway ? 'refuse' : undefined);
  await rig.write(0, 10);
  const archiver = rig.start();
  await until('it is listed', () => archiver.status().state === 'degraded');
  const storeIsBack = (): void => {
    isAway = false;
  };
  return { archiver, storeIsBack };
}

const firstOf = async (log: EventLog, from: number): Promise<number | undefined> =>
  (await log.read(0, from, 1000))[0]?.firstSequence;

test('what is archived and removed right behind a look at the list is not passed over', async () => {
  const rig = await ArchiveRig.open(settings);
  await rig.write(0, 10);
  await archiveAll(rig, 10);
  let first = 5;
  const [reader, seeker] = [historyOf(rig, () => first), historyOf(rig, () => first)];
  assert.equal(await firstOf(reader, 3), 3);
  assert.equal(await seeker.seek(0, { kind: 'sequence', sequence: 3, inclusive: true }), 3);
  await rig.write(0, 10);
  await archiveAll(rig, 20);
  await rig.write(0, 5);
  first = 20;
  assert.equal(await firstOf(reader, 10), 10);
  assert.equal(await seeker.seek(0, { kind: 'sequence', sequence: 12, inclusive: true }), 12);
});

test('a file that is on its way into the store is waited for, and not passed over', async () => {
  const rig = await ArchiveRig.open(settings);
  const { archiver, storeIsBack } = await withListedFile(rig);
  await rig.write(0, 5);
  const log = historyLog({
    ...{ log: trimmed(rig, () => 10), cursors: rig.cursors, files: createHistoryFiles(), clock: rig.clock },
    archive: () => ({ endpoint: 'cold', since: 1, store: rig.store }),
  });
  assert.equal(await log.seek(0, { kind: 'start' }), 0);
  let isRead = false;
  const reading = firstOf(log, 4).finally(() => {
    isRead = true;
  });
  assert.equal(await firstOf(log, 12), 12, 'what the log has needs no file');
  await new Promise<void>((resolve) => void rig.clock.after(1500, resolve));
  assert.ok(!isRead);
  storeIsBack();
  assert.equal(await reading, 4);
  await archiver.close();
});

test('a file that retention has left nothing for is passed over, as the log passes over what it has lost', async () => {
  const rig = await ArchiveRig.open(settings);
  const { archiver, storeIsBack } = await withListedFile(rig);
  await archiver.close();
  await rig.write(0, 10);
  storeIsBack();
  await archiveAll(rig, 20, {
    log: routedLog(
      trimmed(rig, () => 10),
      routingMark,
    ),
  });
  assert.equal(rig.store.files.length, 1);
  await rig.write(0, 5);
  const log = historyOf(rig, () => 20);
  assert.equal(await firstOf(log, 0), 10);
  assert.equal(await firstOf(log, 4), 10);
  assert.equal(await firstOf(log, await log.seek(0, { kind: 'start' })), 10);
  assert.equal(await firstOf(log, await log.seek(0, { kind: 'time', time: 0, inclusive: true })), 10);
});

test('an archive that has another store now is read there', async () => {
  const [rig, other] = [await ArchiveRig.open(settings), await ArchiveRig.open(settings)];
  await rig.write(0, 10);
  await archiveAll(rig, 10);
  let store = rig.store;
  const log = historyOf(
    rig,
    () => 10,
    () => store,
  );
  // The file is open then, and nothing else of it is kept.
  assert.equal(await log.seek(0, { kind: 'time', time: 0, inclusive: true }), 0);
  for (const [path, bytes] of rig.store.objects) other.store.objects.set(path, bytes);
  store = other.store;
  rig.store.read = () => Promise.reject(new Error('the store is closed'));
  assert.equal(await firstOf(log, 3), 3);
});
