/** Damaged logs after `mooring data repair`: they open, keep what can be read, and leave an honest gap for the rest. */
import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { seededRandom } from '../../../base/random.ts';
import { append } from '../../contract/event-log.ts';
import type { VirtualDisk } from '../../contract/event-log-disk.ts';
import { folder, journals, open, PARTITIONS, type Sample, sample } from '../../contract/event-log-sample.ts';
import { checkEventLog } from './check.ts';
import type { EmbeddedEventLog } from './event-log.ts';
import { type EventLogRepair, repairEventLog } from './repair.ts';

/** Every byte takes a minute; by default each field of every structure is met, if not each of its bytes. */
const STEP = process.env.MOORING_TEST_EVERY_BYTE === undefined ? 7 : 1;

interface Repaired extends EventLogRepair {
  /** Content of each file that was set aside. */
  readonly aside: ReadonlyMap<string, Buffer>;
}

async function repair(disk: VirtualDisk): Promise<Repaired> {
  const aside = new Map<string, Buffer>();
  const done = await repairEventLog({
    folder,
    files: disk,
    partitionCount: PARTITIONS,
    createdTime: 1,
    random: seededRandom(7),
    setAside: async (name) => void aside.set(name, Buffer.from(disk.bytes(path.join(folder, name)))),
  });
  return { ...done, aside };
}

/** All events of a partition by sequence number, read as a back end does. */
async function readBySequence(log: EmbeddedEventLog, partition: number): Promise<Map<number, string>> {
  const found = new Map<number, string>();
  const { lastSequence } = log.lastKnown(partition);
  for (let next = 0; next <= lastSequence; ) {
    const runs = await log.read(partition, next, 100);
    if (runs.length === 0) break;
    for (const run of runs) {
      assert.ok(run.firstSequence >= next, 'numbers never go back');
      let at = run.start;
      for (let record = 0; record < run.count; record++) {
        const size = run.bytes.readUInt32LE(at);
        found.set(run.firstSequence + record, run.bytes.toString('latin1', at + 4, at + 4 + size));
        at += 4 + size;
      }
      next = run.firstSequence + run.count;
    }
  }
  return found;
}

/** Repairs, opens, reads, appends: nothing invented, what is missing is what the report names, no number given twice. */
async function assertMended(disk: VirtualDisk, { texts }: Sample, what: string): Promise<Repaired> {
  const done = await repair(disk);
  const { problems, lost } = await checkEventLog(folder, disk);
  assert.deepEqual(problems, [], what);
  assert.deepEqual(
    lost,
    done.lost.map(({ partition, firstSequence, count }) => ({ partition, firstSequence, count })),
    `${what}: a later check tells of the gaps`,
  );
  const log = await open(disk, 2);
  let torn = 0;
  for (let partition = 0; partition < PARTITIONS; partition++) {
    const found = await readBySequence(log, partition);
    const { lastSequence } = log.lastKnown(partition);
    const isLost = (sequence: number): boolean =>
      done.lost.some(
        (run) =>
          run.partition === partition && sequence >= run.firstSequence && sequence < run.firstSequence + run.count,
      );
    for (const [sequence, text] of found) assert.equal(text, texts[partition][sequence], `${what}: ${sequence}`);
    for (let sequence = 0; sequence < texts[partition].length; sequence++) {
      if (sequence > lastSequence) torn++;
      else assert.equal(found.has(sequence), !isLost(sequence), `${what}: partition ${partition}, ${sequence}`);
    }
    await append(log, partition, ['behind']);
    assert.equal((await readBySequence(log, partition)).get(lastSequence + 1), 'behind', what);
  }
  if (torn > 0)
    assert.ok(
      done.actions.some((action) => /torn|cut short/.test(action)),
      `${what}: ${done.actions}`,
    );
  await log.close();
  assert.deepEqual((await checkEventLog(folder, disk)).problems, [], `${what}: after more events`);
  return done;
}

for (const isClosed of [true, false]) {
  const state = isClosed ? 'closed cleanly' : 'not closed';
  test(`a flipped bit anywhere in a log that was ${state} is mended, and costs one batch at most`, async () => {
    const whole = await sample(isClosed);
    let gaps = 0;
    for (const file of whole.disk.files()) {
      for (let at = 0; at < whole.disk.bytes(file).length; at += STEP) {
        const disk = whole.disk.copy();
        disk.bytes(file)[at] ^= 1 << (at % 8);
        const what = `${file}, byte ${at}`;
        // A format that reads as a newer one is another program's, and is left alone.
        if (
          file.endsWith('.meta') &&
          (await checkEventLog(folder, disk).then(
            () => false,
            () => true,
          ))
        )
          continue;
        const damaged = Buffer.from(disk.bytes(file));
        const { lost, aside, actions } = await assertMended(disk, whole, what);
        const exact = lost.filter((run) => !run.atMost);
        assert.ok(exact.reduce((sum, run) => sum + run.count, 0) <= 2, `${what}: ${JSON.stringify(lost)}`);
        assert.ok(actions.length > 0, what);
        assert.deepEqual(aside.get(path.basename(file)), damaged, `${what}: the damaged file is kept`);
        if (!file.endsWith('.journal')) assert.deepEqual(lost, [], what);
        if (lost.length > 0) gaps++;
      }
    }
    assert.ok(gaps > 300 / STEP, String(gaps));
  });
}

test('a segment cut at any length, or filled with zeros, or gone: what it held is named, the rest is kept', async () => {
  for (const isClosed of [true, false]) {
    const whole = await sample(isClosed);
    for (const file of journals(whole.disk)) {
      const bytes = whole.disk.bytes(file);
      for (let length = 0; length < bytes.length; length += STEP) {
        for (const tail of [0, bytes.length - length]) {
          const disk = whole.disk.copy();
          disk.replace(file, Buffer.concat([bytes.subarray(0, length), Buffer.alloc(tail)]));
          // The last file of a log that was not closed, cut between two batches, is as it was before the later one.
          const mayLookWhole = file === journals(whole.disk).at(-1) && !isClosed && tail === 0;
          if (mayLookWhole && (await checkEventLog(folder, disk)).problems.length === 0) continue;
          await assertMended(disk, whole, `${file} cut to ${length} bytes, ${tail} zeros behind (${state(isClosed)})`);
        }
      }
      const isLast = file === journals(whole.disk).at(-1);
      // Without its index nothing tells that there ever was a last segment; without the first the log begins later.
      if ((isLast && !isClosed) || file === journals(whole.disk)[0]) continue;
      const disk = whole.disk.copy();
      disk.remove(file);
      if (isLast) await assert.rejects(open(disk.copy()), /the segment is missing.*mooring data check/);
      const { lost } = await assertMended(disk, whole, `${file} is gone`);
      assert.ok(lost.length > 0);
    }
  }
});

test('two damaged places in one segment, and indices gone as well: each costs its own batch', async () => {
  const whole = await sample(true);
  const random = seededRandom(3);
  for (let round = 0; round < 300; round++) {
    const disk = whole.disk.copy();
    const hurt: string[] = [];
    for (let damage = 0; damage < 3; damage++) {
      const files = disk.files().filter((name) => !name.endsWith('.meta'));
      const file = files[Math.floor(random.next() * files.length)];
      const at = Math.floor(random.next() * disk.bytes(file).length);
      disk.bytes(file)[at] ^= 0x55;
      hurt.push(`${file} ${at}`);
    }
    for (const file of disk.files()) if (file.endsWith('.index') && random.next() < 0.5) disk.remove(file);
    await assertMended(disk, whole, `seed 3, round ${round}: ${hurt.join(', ')}`);
  }
});

test('a repair that is cut short at any call can be run again', async () => {
  const whole = await sample(true);
  const file = journals(whole.disk)[1];
  const damaged = whole.disk.copy();
  damaged.bytes(file).fill(0xaa, 20, 180);
  for (let cut = 0; ; cut++) {
    const disk = damaged.copy();
    disk.fault = (call, _file, number) => (number >= cut && call !== 'read' ? { code: 'EIO' } : undefined);
    const isCut = await repair(disk).then(
      () => false,
      () => true,
    );
    disk.fault = () => undefined;
    if (!isCut) break;
    const again = disk.copy();
    await repair(again);
    assert.deepEqual((await checkEventLog(folder, again)).problems, [], `cut at call ${cut}`);
    await (await open(again, 2)).close();
  }
});

test('a sound log is left as it is', async () => {
  for (const isClosed of [true, false]) {
    const { disk } = await sample(isClosed);
    const before = disk.files().map((file) => [file, disk.bytes(file).toString('hex')]);
    assert.deepEqual(await repair(disk), { actions: [], lost: [], aside: new Map() });
    assert.deepEqual(
      disk.files().map((file) => [file, disk.bytes(file).toString('hex')]),
      before,
    );
  }
});

const state = (isClosed: boolean): string => (isClosed ? 'closed' : 'not closed');
