/**
 * The journal on a disk that fails and loses power: one fault at every call of a run, then seeds with faults and crashes
 * at random calls. `SEED=n` runs one seed, `SEEDS=n` that many.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../../base/clock.ts';
import { seededRandom } from '../../../base/random.ts';
import { type DiskFault, VirtualDisk } from '../../contract/event-log-disk.ts';
import { ledgerOn } from '../../contract/event-log-ledger.ts';
import { EventLogTrial } from '../../contract/event-log-trial.ts';
import { checkEventLog } from './check.ts';
import { type EmbeddedEventLog, openEmbeddedEventLog } from './event-log.ts';

const PARTITIONS = 3;
const folder = '/log';

interface World {
  readonly disk: VirtualDisk;
  /** Another one after each crash: the timers of the dead do not fire. */
  clock: VirtualClock;
  readonly trial: EventLogTrial;
  readonly random: ReturnType<typeof seededRandom>;
}

const newWorld = (seed: number): World => ({
  disk: new VirtualDisk(),
  clock: new VirtualClock(),
  trial: new EventLogTrial(PARTITIONS),
  random: seededRandom(seed),
});

/** Small, so that ceilings go up all the time. */
const CEILING_STEP = 4;

/** A start never refuses what an earlier run has left, and finds no number beyond what was kept as the ceiling. */
async function open({ disk, clock, random }: World): Promise<EmbeddedEventLog> {
  const ledger = await ledgerOn(disk, CEILING_STEP);
  const log = await openEmbeddedEventLog({
    folder,
    name: 'hub',
    partitionCount: PARTITIONS,
    retentionMs: 3_600_000,
    segmentBytes: 3000,
    clock,
    random,
    files: disk,
    ledger,
  });
  for (let partition = 0; partition < PARTITIONS; partition++) {
    const { lastSequence } = log.lastKnown(partition);
    assert.ok(lastSequence < (ledger.kept?.ceilings[partition] ?? 0) || lastSequence < 0, 'below the ceiling');
  }
  return log;
}

/** One round of work: a few records in one batch or more, answered. */
async function work(world: World, log: EmbeddedEventLog): Promise<void> {
  const { trial, random } = world;
  const sent = Array.from({ length: 1 + Math.floor(random.next() * 4) }, () =>
    trial.send(log, Math.floor(random.next() * PARTITIONS), Math.floor(random.next() * 600)),
  );
  await Promise.all(sent);
}

/** Lets a failed log try again, until it has or has not succeeded. */
async function recoverIfFailed(world: World, log: EmbeddedEventLog): Promise<void> {
  if (log.health().ok) return;
  world.clock.advance(1000);
  await log.retain();
}

/** A start that fails because a call fails is tried again, as an operator or a service manager does. */
async function openAgain(world: World): Promise<EmbeddedEventLog> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await open(world);
    } catch (error) {
      if (attempt === 20 || (error as NodeJS.ErrnoException).code !== 'EIO') throw error;
    }
  }
}

async function endSoundly(world: World, log: EmbeddedEventLog): Promise<void> {
  world.disk.fault = () => undefined;
  await recoverIfFailed(world, log);
  assert.deepEqual(log.health(), { ok: true });
  await work(world, log);
  await world.trial.verify(log);
  await log.close();
  const damaged = (await checkEventLog(folder, world.disk)).problems.filter(({ kind }) => kind === 'damaged');
  assert.deepEqual(damaged, []);
  world.disk.crash(() => world.random.next());
  const again = await open(world);
  await world.trial.verify(again);
  await again.close();
}

/** @param from the first call that fails, @param until the one behind the last. */
async function runWithFault(from: number, until: number, fault: DiskFault): Promise<number> {
  const world = newWorld(1);
  world.disk.fault = (_call, _file, number) => (number >= from && number < until ? fault : undefined);
  let log = await openAgain(world);
  for (let round = 0; round < 12; round++) {
    const isOver = world.disk.calls >= until;
    await recoverIfFailed(world, log);
    if (isOver) assert.deepEqual(log.health(), { ok: true }, 'it goes on by itself');
    await work(world, log);
    if (round === 3 || round === 7) {
      await world.trial.verify(log).catch((error) => assert.equal(error.code, 'EIO', error));
      await log.close();
      world.trial.restarted();
      log = await openAgain(world);
    }
  }
  const { calls } = world.disk;
  await endSoundly(world, log);
  return calls;
}

test('a call that fails, whichever it is, loses nothing and ends by itself', async () => {
  const calls = await runWithFault(0, 0, { code: 'EIO' });
  assert.ok(calls > 100, `${calls} calls`);
  for (let at = 0; at < calls; at++) {
    for (const length of [1, 4]) {
      for (const writtenBytes of [0, 700]) {
        try {
          await runWithFault(at, at + length, { code: 'EIO', writtenBytes });
        } catch (error) {
          throw new Error(`calls ${at} to ${at + length - 1} fail, ${writtenBytes} bytes written`, { cause: error });
        }
      }
    }
  }
});

async function runWithCrashes(seed: number): Promise<number> {
  const world = newWorld(seed);
  const { disk, random, trial } = world;
  const faultRate = random.next() < 0.5 ? 0 : 0.03;
  for (let life = 0; life < 4; life++) {
    let isOver = false;
    const crashAt = disk.calls + 5 + Math.floor(random.next() * 120);
    let powerFails = (): void => {};
    const power = new Promise<void>((resolve) => {
      powerFails = resolve;
    });
    disk.fault = (call, _file, number) => {
      if (number >= crashAt && !isOver) {
        isOver = true;
        disk.crash(() => random.next());
        powerFails();
      }
      // What was running before the crash gets no further.
      if (isOver) return { code: 'EIO', writtenBytes: 0 };
      const mayFail = call !== 'read' && call !== 'size' && call !== 'list' && call !== 'open';
      return mayFail && random.next() < faultRate ? { code: 'EIO', writtenBytes: 100 } : undefined;
    };
    const living = async (): Promise<void> => {
      const log = await openAgain(world);
      for (let round = 0; round < 40 && !isOver; round++) {
        await recoverIfFailed(world, log);
        await work(world, log);
        if (round % 7 === 6) await trial.verify(log);
        if (random.next() < 0.1) {
          await log.close();
          return;
        }
      }
    };
    const lived = living().catch((error) => {
      if (!isOver) throw error;
    });
    await Promise.race([power, lived]);
    if (isOver) await lived;
    world.clock = new VirtualClock(world.clock.now());
    trial.restarted();
  }
  disk.fault = () => undefined;
  const log = await open(world);
  await trial.verify(log);
  await endSoundly(world, log);
  return trial.durableCount;
}

test('crashes at any call, with faults before them, lose nothing that was acknowledged', async (context) => {
  const one = process.env.SEED;
  const seeds = one === undefined ? Number(process.env.SEEDS ?? 300) : 1;
  const first = one === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(one);
  context.diagnostic(`seeds ${first} to ${first + seeds - 1}`);
  let durable = 0;
  for (let seed = first; seed < first + seeds; seed++) {
    try {
      durable += await runWithCrashes(seed);
    } catch (error) {
      throw new Error(`SEED=${seed}`, { cause: error });
    }
  }
  context.diagnostic(`${durable} acknowledged records`);
  assert.ok(durable > 10 * seeds);
});

test('a full disk stops acknowledgements, says so, and is left behind when there is room', async () => {
  const world = newWorld(3);
  const { disk, clock, trial } = world;
  const log = await open(world);
  await work(world, log);
  disk.capacityBytes = disk.usedBytes + 5000;
  let answer = 'durable';
  while (answer === 'durable') answer = await trial.send(log, 0, 400);
  const health = log.health();
  assert.ok(!health.ok && health.reason.includes('ENOSPC'), JSON.stringify(health));
  await trial.verify(log);
  for (let attempt = 0; attempt < 5; attempt++) {
    clock.advance(1000);
    await log.retain();
    assert.equal(log.health().ok, false);
    assert.equal(await trial.send(log, 1), 'failed');
  }
  disk.capacityBytes = Number.POSITIVE_INFINITY;
  clock.advance(1000);
  await log.retain();
  assert.deepEqual(log.health(), { ok: true });
  assert.equal(await trial.send(log, 1), 'durable');
  await endSoundly(world, log);
});

test('a full disk is relieved by retention, which works while the log cannot be written', async () => {
  const world = newWorld(5);
  const { disk, clock, trial } = world;
  const log = await open(world);
  for (let round = 0; round < 100; round++) await trial.send(log, 0, 900);
  clock.advance(3_000_000);
  for (let round = 0; round < 10; round++) await trial.send(log, 0, 900);
  disk.capacityBytes = disk.usedBytes;
  assert.equal(await trial.send(log, 1, 900), 'failed');
  const { firstSequence } = log.lastKnown(0);
  clock.advance(700_000);
  await log.retain();
  assert.ok(log.lastKnown(0).firstSequence > firstSequence);
  clock.advance(1000);
  await log.retain();
  assert.deepEqual(log.health(), { ok: true });
  assert.equal(await trial.send(log, 1, 900), 'durable');
  await log.close();
});

test('a batch whose sync failed is dead, also when its bytes reach the disk', async () => {
  const world = newWorld(4);
  const { disk, clock, trial } = world;
  const log = await open(world);
  await trial.send(log, 0, 10);
  disk.fault = (call, file) => (call === 'sync' && file.endsWith('.journal') ? { code: 'EIO' } : undefined);
  assert.equal(await trial.send(log, 0, 20), 'failed');
  disk.fault = (call) => (call === 'truncate' ? { code: 'EIO' } : undefined);
  const [segment] = disk.files().filter((name) => name.endsWith('.journal'));
  const whole = Buffer.from(disk.bytes(segment));
  clock.advance(1000);
  await log.retain();
  assert.equal(await trial.send(log, 0, 30), 'durable');
  disk.fault = () => undefined;
  // The disk has kept the failed batch after all.
  disk.replace(segment, whole);
  await trial.verify(log);
  const again = await open({ ...world, disk: disk.copy() });
  await trial.verify(again);
  assert.equal(again.lastKnown(0).lastSequence, 1);
});

test('seeds that have found a fault', async () => {
  // A segment was removed but for its index, which failed; a write that failed then took the next one along, and the numbers with it.
  assert.ok((await runWithCrashes(1251602100)) > 0);
});
