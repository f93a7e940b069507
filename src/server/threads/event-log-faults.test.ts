/**
 * A journal that fails while threads have several batches on their way to it: what a device sends again is never behind
 * what it had sent later. `SEED=n` runs one seed, `SEEDS=n` that many.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MessageChannel } from 'node:worker_threads';
import { VirtualClock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { silentLog } from '../../base/log.ts';
import { seededRandom } from '../../base/random.ts';
import type { DurabilityWaiter, EventLog } from '../../core/events/ports.ts';
import { readAll } from '../../stores/contract/event-log.ts';
import { VirtualDisk } from '../../stores/contract/event-log-disk.ts';
import { openEmbeddedEventLog } from '../../stores/embedded/event-log/event-log.ts';
import { createMemoryEventLog } from '../../stores/memory/event-log.ts';
import { openThreadLink } from './calls.ts';
import { EventLogHost, type HostedLog } from './event-log-host.ts';
import { eventLogStandIn } from './event-log-stand-in.ts';

const PARTITIONS = 2;
const THREADS = 2;
const EVENTS = 40;
const RECORD_BYTES = 40;
/** Of one device; some batches of the smallest size. */
const IN_FLIGHT_MAX = 12;
const bounds = {
  writerBytesMax: limits.writerBytesMax,
  batchBytesMax: limits.batchBytesMax,
  commitBytesMin: 2 * RECORD_BYTES,
};

type Seeded = ReturnType<typeof seededRandom>;

/** Sends its events in order, a few ahead; after a failure goes on with the first one that was not acknowledged. */
class Device implements DurabilityWaiter {
  failures = 0;
  acknowledged = 0;
  readonly #name: string;
  readonly #log: EventLog;
  readonly #partition: number;
  #next = 0;
  #waiting: { readonly batch: number; readonly until: number }[] = [];

  constructor(name: string, log: EventLog, partition: number) {
    this.#name = name;
    this.#log = log;
    this.#partition = partition;
  }

  get isDone(): boolean {
    return this.acknowledged === EVENTS;
  }

  send(countMax: number): void {
    const until = Math.min(EVENTS, this.acknowledged + IN_FLIGHT_MAX, this.#next + countMax);
    while (this.#next < until) {
      const { writer } = this.#log;
      const at = writer.reserve(this.#partition, RECORD_BYTES);
      writer.bytes(this.#partition).write(`${this.#name} ${this.#next++}`.padEnd(RECORD_BYTES), at);
      this.#waiting.push({ batch: writer.batch, until: this.#next });
      writer.await(this);
    }
  }

  batchDurable(batch: number): void {
    for (let first = this.#waiting[0]; first !== undefined && first.batch <= batch; first = this.#waiting[0]) {
      this.acknowledged = first.until;
      this.#waiting.shift();
    }
  }

  batchFailed(): void {
    this.failures++;
    this.#waiting = [];
    this.#next = this.acknowledged;
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Two threads over real ports, each with two devices. `step` is called between turns of the loop until all is sent. */
async function run(log: HostedLog, clock: VirtualClock, random: Seeded, step: () => Promise<void> | void) {
  const host = new EventLogHost(log, clock);
  const channels: MessageChannel[] = [];
  const devices: Device[] = [];
  for (let thread = 0; thread < THREADS; thread++) {
    const channel = new MessageChannel();
    channels.push(channel);
    host.serve(openThreadLink(channel.port1));
    const standIn = eventLogStandIn(openThreadLink(channel.port2), host.start(), silentLog, bounds);
    for (let each = 0; each < 2; each++) devices.push(new Device(`${thread}-${each}`, standIn, each));
  }
  while (!devices.every(({ isDone }) => isDone)) {
    for (const device of devices) device.send(Math.floor(random.next() * 5));
    if (random.next() < 0.7) await turn();
    await step();
  }
  for (const channel of channels) channel.port1.close();
  host.close();
  const stored: string[] = [];
  for (let partition = 0; partition < PARTITIONS; partition++) stored.push(...(await readAll(log, partition)));
  for (let thread = 0; thread < THREADS; thread++) {
    for (let each = 0; each < 2; each++) {
      const name = `${thread}-${each} `;
      const own = stored.filter((text) => text.startsWith(name)).map((text) => Number(text.slice(name.length)));
      // In order, nothing lost, and what was refused is not there: so nothing is there twice.
      assert.deepEqual(
        own,
        Array.from({ length: EVENTS }, (_, at) => at),
        name,
      );
    }
  }
  return devices.reduce((sum, { failures }) => sum + failures, 0);
}

/** Commits of a log in memory, made by the test; `fails` says which of them do. Then the log works again at once. */
async function runInMemory(random: Seeded, fails: (commit: number) => boolean): Promise<number> {
  const clock = new VirtualClock();
  const log = createMemoryEventLog({ name: 'hub', partitionCount: PARTITIONS, clock, durable: 'byHand' });
  let commit = 0;
  return run(log, clock, random, async () => {
    if (random.next() < 0.4) return;
    if (fails(commit++)) log.failWith(new Error('injected'));
    const done = log.commit();
    // The commit has begun; what arrives after it has failed finds a log that works.
    await Promise.resolve();
    log.failWith(undefined);
    await done;
  });
}

test('each commit that fails is followed by what is sent again, and by nothing older', async () => {
  let failures = 0;
  for (let failing = 0; failing < 30; failing++) {
    failures += await runInMemory(seededRandom(failing), (commit) => commit === failing);
  }
  assert.ok(failures > 30, `${failures} failures were heard of`);
});

test('commits that fail again and again, at random', async (context) => {
  const one = process.env.SEED;
  const seeds = one === undefined ? Number(process.env.SEEDS ?? 60) : 1;
  const first = one === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(one);
  context.diagnostic(`seeds ${first} to ${first + seeds - 1}`);
  for (let seed = first; seed < first + seeds; seed++) {
    const random = seededRandom(seed);
    await runInMemory(random, () => random.next() < 0.3).catch((error) => {
      throw new Error(`SEED=${seed}`, { cause: error });
    });
  }
});

test('each call of the disk that fails, under a real journal', async () => {
  let failures = 0;
  for (let failing = 0; failing < 60; failing++) {
    const clock = new VirtualClock();
    const disk = new VirtualDisk();
    const random = seededRandom(failing);
    const log = await openEmbeddedEventLog({
      ...{ folder: '/log', name: 'hub', partitionCount: PARTITIONS, retentionMs: 3_600_000, segmentBytes: 2000 },
      ...{ clock, random, files: disk },
    });
    const begun = disk.calls;
    disk.fault = (_call, _file, number) => (number === begun + failing ? { code: 'EIO' } : undefined);
    failures += await run(log, clock, random, () => {
      if (!log.health().ok) clock.advance(limits.journalRetryMs / 4);
    });
    await log.close();
  }
  assert.ok(failures > 60, `${failures} failures were heard of`);
});
