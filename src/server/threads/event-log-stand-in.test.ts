import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MessageChannel } from 'node:worker_threads';
import { until } from '../../../test/drivers/until.ts';
import { systemClock, VirtualClock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { silentLog } from '../../base/log.ts';
import {
  append,
  durable,
  type EventLogFactory,
  eventLogContract,
  put,
  readAll,
} from '../../stores/contract/event-log.ts';
import { eventLogModelTest } from '../../stores/contract/event-log-model.ts';
import { createMemoryEventLog, type MemoryEventLogOptions } from '../../stores/memory/event-log.ts';
import { openThreadLink } from './calls.ts';
import { EventLogHost } from './event-log-host.ts';
import { eventLogStandIn } from './event-log-stand-in.ts';

const bounds = { writerBytesMax: limits.writerBytesMax, batchBytesMax: limits.batchBytesMax };

/** A log and what `threads` threads see of it, over real ports. */
function share(options: Partial<MemoryEventLogOptions> = {}, threads = 1) {
  const log = createMemoryEventLog({ name: 'hub', partitionCount: 3, ...options });
  const host = new EventLogHost(log, systemClock);
  const sides = Array.from({ length: threads }, () => {
    const channel = new MessageChannel();
    const end = host.serve(openThreadLink(channel.port1));
    const link = openThreadLink(channel.port2);
    return { channel, end, link, standIn: eventLogStandIn(link, host.start(), silentLog, bounds) };
  });
  const close = (): void => {
    for (const { channel } of sides) channel.port1.close();
    host.close();
  };
  return { log, host, sides, close };
}

const factory: EventLogFactory = {
  name: 'event log of another thread',
  async open(options) {
    const { log, host, sides, close } = share(options);
    const retain = async (): Promise<void> => {
      log.retain();
      host.changed();
    };
    return { log: sides[0].standIn, retain, close: async () => close() };
  },
};

eventLogContract(factory);
eventLogModelTest(factory, 50);

test('batches of two threads stand in the log whole, each in its own order', async (t) => {
  const { log, sides, close } = share({ durable: 'byHand' }, 2);
  t.after(close);
  const texts = sides.map((_, side) => Array.from({ length: 20 }, (_, at) => `${side} ${at}`));
  const done = sides.map(async ({ standIn }, side) => {
    for (const text of texts[side]) await append(standIn, 0, [text]);
  });
  let isDone = false;
  void Promise.all(done).then(() => {
    isDone = true;
  });
  while (!isDone) {
    await log.commit();
    await new Promise((resolve) => setImmediate(resolve));
  }
  const stored = await readAll(log, 0);
  assert.equal(stored.length, 40);
  for (const side of [0, 1]) {
    assert.deepEqual(
      stored.filter((text) => text.startsWith(`${side}`)),
      texts[side],
    );
  }
});

test('a reader on one thread is woken by what another thread has sent, and sees it', async (t) => {
  const { sides, close } = share({}, 2);
  t.after(close);
  const [reader, writer] = sides.map(({ standIn }) => standIn);
  const woken = new Promise<void>((resolve) => reader.watch(1, resolve));
  await append(writer, 1, ['x']);
  await woken;
  assert.equal(reader.lastKnown(1).lastSequence, 0);
  assert.deepEqual(await readAll(reader, 1), ['x']);
});

test('a failed batch fails all that wait behind it on its thread; health says why, and when it is over', async (t) => {
  const { log, sides, close } = share({}, 2);
  t.after(close);
  const [{ standIn }, other] = sides;
  log.failWith(new Error('no room'));
  put(standIn, 0, 'first');
  const first = durable(standIn);
  await new Promise((resolve) => setImmediate(resolve));
  put(standIn, 0, 'second');
  const second = durable(standIn);
  await assert.rejects(first, /no room/);
  await assert.rejects(second, /no room/);
  assert.deepEqual(standIn.health(), { ok: false, reason: 'no room' });
  await until('the other thread hears of the failure', () => !other.standIn.health().ok);
  assert.deepEqual(await readAll(log, 0), []);
  log.failWith(undefined);
  await until('the thread hears that the log is well again', () => standIn.health().ok);
  await append(standIn, 0, ['third']);
  assert.deepEqual(await readAll(standIn, 0), ['third']);
});

test('settled means that everything reserved so far is durable, also for many who ask at once', async (t) => {
  const { log, sides, close } = share({ durable: 'byHand', clock: new VirtualClock() });
  t.after(close);
  const { standIn } = sides[0];
  assert.equal(standIn.isSettled(), true);
  put(standIn, 0, 'x');
  assert.equal(standIn.isSettled(), false);
  let count = 0;
  const all = Promise.all(Array.from({ length: 3 }, () => standIn.settled().then(() => count++)));
  await new Promise((resolve) => setTimeout(resolve, 5));
  assert.equal(count, 0);
  while (count === 0) {
    await log.commit();
    await new Promise((resolve) => setImmediate(resolve));
  }
  await all;
  assert.equal(log.lastKnown(0).lastSequence, 0);
  assert.equal(standIn.isSettled(), true);
});
