/** Damaged files: every byte flipped, every length cut, files missing. Found and said, never served. */
import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { append, readAll } from '../../contract/event-log.ts';
import { VirtualDisk } from '../../contract/event-log-disk.ts';
import { folder, journals, open, PARTITIONS, type Sample, sample } from '../../contract/event-log-sample.ts';
import { EventLogCorruption } from '../../event-log/errors.ts';
import { checkEventLog } from './check.ts';
import { type EmbeddedEventLog, openEmbeddedEventLog } from './event-log.ts';
import { META_NAME } from './meta.ts';

/**
 * Opens the log and reads all of it. Whatever can be read must be what was written; the answer is what could not:
 * `all` = nothing is missing, `cut` = the last batch is gone and the start said so, else the refusal.
 */
async function outcome(disk: VirtualDisk, { texts }: Sample): Promise<'all' | 'cut' | Error> {
  let log: EmbeddedEventLog;
  try {
    log = await open(disk, 2);
  } catch (error) {
    assert.ok(error instanceof Error);
    return error;
  }
  let refusal: Error | undefined;
  let isComplete = true;
  for (let partition = 0; partition < PARTITIONS; partition++) {
    try {
      const got = await readAll(log, partition);
      assert.deepEqual(got, texts[partition].slice(0, got.length));
      if (got.length < texts[partition].length) isComplete = false;
    } catch (error) {
      if (!(error instanceof EventLogCorruption)) throw error;
      refusal = error;
    }
  }
  if (refusal !== undefined) return refusal;
  if (isComplete) return 'all';
  assert.ok(log.recovery.cut !== undefined, 'what is missing was reported');
  return 'cut';
}

for (const isClosed of [true, false]) {
  const state = isClosed ? 'closed cleanly' : 'not closed';
  test(`a flipped bit anywhere in a log that was ${state} is found, and nothing wrong is served`, async () => {
    const whole = await sample(isClosed);
    const counts = { all: 0, cut: 0, refused: 0 };
    for (const file of whole.disk.files()) {
      for (let at = 0; at < whole.disk.bytes(file).length; at++) {
        const disk = whole.disk.copy();
        disk.bytes(file)[at] ^= 1 << (at % 8);
        const what = `${file}, byte ${at}`;
        const { problems } = await checkEventLog(folder, disk).catch((error: Error) => ({ problems: [error] }));
        assert.ok(problems.length > 0, `${what}: the check finds it`);
        const found = await outcome(disk, whole);
        const mayBeCut = !isClosed && file === whole.last && at >= whole.lastBatchAt;
        if (found === 'cut') assert.ok(mayBeCut, `${what}: only the last batch may be cut`);
        if (found === 'all') assert.ok(!file.endsWith('.journal') || !mayBeCut, what);
        if (found instanceof Error) {
          counts.refused++;
          assert.match(found.message, /mooring data check|Use the newer program/, what);
          assert.ok(found.message.includes(folder), what);
        } else counts[found]++;
      }
    }
    assert.ok(counts.refused > 500 && counts.all > 100, JSON.stringify(counts));
    assert.equal(counts.cut > 0, !isClosed);
  });
}

test('a segment cut at any length: the end of the last one is torn, any other place is damage', async () => {
  const whole = await sample(false);
  for (const file of journals(whole.disk)) {
    const bytes = whole.disk.bytes(file);
    const isLast = file === whole.last;
    for (let length = isLast ? whole.lastBatchAt : 0; length < bytes.length; length++) {
      for (const tail of [Buffer.alloc(0), Buffer.alloc(bytes.length - length)]) {
        // A file that ends between two batches looks as it did before the last one was written.
        if (isLast && length === whole.lastBatchAt && tail.length === 0) continue;
        const disk = whole.disk.copy();
        disk.replace(file, Buffer.concat([bytes.subarray(0, length), tail]));
        const found = await outcome(disk, whole);
        const what = `${file} cut to ${length} bytes, ${tail.length} zeros behind`;
        if (isLast) assert.equal(found, 'cut', what);
        else assert.ok(found instanceof EventLogCorruption, what);
      }
    }
  }
});

test('after a torn end is cut the log goes on, and the report says what was cut', async () => {
  const whole = await sample(false);
  const bytes = whole.disk.bytes(whole.last);
  whole.disk.replace(whole.last, bytes.subarray(0, bytes.length - 5));
  const log = await open(whole.disk, 2);
  const { lastBatchAt } = whole;
  assert.deepEqual(log.recovery.cut, {
    file: whole.last,
    place: lastBatchAt,
    bytes: bytes.length - 5 - lastBatchAt,
  });
  await append(log, 0, ['goes on']);
  await log.close();
  const again = await open(whole.disk, 3);
  assert.equal(again.recovery.cut, undefined);
  assert.equal(again.recovery.scanned, 0);
  assert.deepEqual(await readAll(again, 0), [...whole.texts[0].slice(0, -2), 'goes on']);
  assert.deepEqual(await readAll(again, 1), whole.texts[1]);
});

test('a missing segment is noticed', async () => {
  const whole = await sample(true);
  const disk = whole.disk.copy();
  disk.remove(journals(disk)[1]);
  await assert.rejects(open(disk), /the next segment is missing or a foreign one.*mooring data check/);
});

test('a missing index is made again', async () => {
  const whole = await sample(true);
  const disk = whole.disk.copy();
  for (const file of disk.files()) if (file.endsWith('.index')) disk.remove(file);
  const log = await open(disk);
  assert.equal(log.recovery.scanned, journals(whole.disk).length);
  assert.deepEqual(await readAll(log, 0), whole.texts[0]);
  assert.deepEqual((await checkEventLog(folder, disk)).problems, []);
});

test('bytes that a device sent never pass for a batch', async () => {
  const disk = new VirtualDisk();
  const log = await open(disk);
  await append(log, 0, ['a']);
  const [file] = journals(disk);
  const before = disk.bytes(file).length;
  // The device has somehow learnt the journal's own bytes, checksum and salt included.
  const stolen = disk.bytes(file).toString('latin1');
  const at = log.writer.reserve(0, stolen.length);
  log.writer.bytes(0).write(stolen, at, 'latin1');
  await append(log, 0, ['b']);
  const torn = disk.copy();
  torn.bytes(file)[before + 60] ^= 1;
  const again = await open(torn, 2);
  assert.equal(again.recovery.cut?.place, before);
  assert.deepEqual(await readAll(again, 0), ['a']);
});

test('a sound log has nothing to report, and the check counts what is there', async () => {
  const whole = await sample(true);
  const check = await checkEventLog(folder, whole.disk);
  assert.deepEqual(check.problems, []);
  assert.equal(check.partitionCount, PARTITIONS);
  assert.equal(
    check.segments.reduce((sum, { records }) => sum + records, 0),
    whole.texts.flat().length,
  );
  assert.deepEqual(
    check.segments.map(({ file }) => path.join(folder, file)),
    journals(whole.disk),
  );
  const unfinished = await sample(false);
  unfinished.disk.replace(unfinished.last, unfinished.disk.bytes(unfinished.last).subarray(0, -3));
  const { problems } = await checkEventLog(folder, unfinished.disk);
  assert.deepEqual(
    problems.map(({ kind, place }) => [kind, place]),
    [['torn', unfinished.lastBatchAt]],
  );
});

test('another number of partitions and a newer format are refused with what to do', async () => {
  const { disk } = await sample(true);
  const options = { folder, name: 'hub', retentionMs: 1, files: disk };
  await assert.rejects(
    openEmbeddedEventLog({ ...options, partitionCount: 4 }),
    /made with 2 partitions.*set it back to 2/,
  );
  const meta = path.join(folder, META_NAME);
  disk.replace(meta, Buffer.from(disk.bytes(meta).toString().replace('log 1', 'log 2')));
  await assert.rejects(open(disk), /format 2, this program knows up to 1\. Use the newer program/);
  disk.remove(meta);
  await assert.rejects(open(disk), /missing or damaged, but there are segments/);
});
