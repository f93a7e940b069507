/** History as a listener thread reads it, where readings wait for what is on its way into the archive. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { MessageChannel } from 'node:worker_threads';
import { until } from '../../../test/drivers/until.ts';
import { VirtualClock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { historyLog } from '../../core/archive/history.ts';
import type { EventLog } from '../../core/events/ports.ts';
import { createMemoryEventLog } from '../../stores/memory/event-log.ts';
import { createMemoryRoutes } from '../../stores/memory/routes.ts';
import { openThreadLink } from './calls.ts';
import { historyStandIn, serveHistory } from './history.ts';

/** A log that begins at 10, and history of an archive that is not open. */
function rig(t: TestContext) {
  const clock = new VirtualClock();
  let waiting = 0;
  const counted = {
    now: () => clock.now(),
    monotonic: () => clock.monotonic(),
    after(ms: number, callback: () => void) {
      waiting++;
      const cancel = clock.after(ms, () => {
        waiting--;
        callback();
      });
      return () => {
        waiting--;
        cancel();
      };
    },
  };
  const log = createMemoryEventLog({ name: 'hub', partitionCount: 1, clock });
  const facts = () => ({ ...log.lastKnown(0), firstSequence: 10 });
  const late: EventLog = { ...log, partition: async () => facts(), lastKnown: facts };
  const { cursors } = createMemoryRoutes();
  const files = { open: () => Promise.reject(new Error('there are no files')) };
  const channel = new MessageChannel();
  t.after(() => channel.port1.close());
  const [main, thread] = [openThreadLink(channel.port1), openThreadLink(channel.port2)];
  serveHistory(main, historyLog({ log: late, cursors, files, clock: counted, archive: () => 'notOpen' }));
  main.serve('other', { ask: async () => 'answered' });
  const other = thread.remote<{ ask(): Promise<string> }>('other', { ask: true });
  return { main, other, history: historyStandIn(thread, late), waiting: () => waiting };
}

test('a reading that nobody waits for any more ends in the main thread as well', async (t) => {
  const { history, waiting } = rig(t);
  const ending = new AbortController();
  const readings = [1, 2, 3].map((from) => history.read(0, from, 1000, ending.signal));
  await until('they wait', () => waiting() === 3);
  ending.abort(new Error('the link has ended'));
  for (const reading of readings) await assert.rejects(reading, /the link has ended/);
  await until('none waits', () => waiting() === 0);
  await assert.rejects(history.read(0, 1, 1000, ending.signal), /the link has ended/);
});

test('readings of a thread that dies end', async (t) => {
  const { main, history, waiting } = rig(t);
  void history.read(0, 1, 1000, new AbortController().signal).catch(() => {});
  await until('it waits', () => waiting() === 1);
  main.close();
  await until('none waits', () => waiting() === 0);
});

test('readings that wait take nothing of what else a thread may ask', async (t) => {
  const { other, history, waiting } = rig(t);
  const ending = new AbortController();
  const readings = Array.from({ length: limits.threadCallsMax }, () => history.read(0, 1, 1000, ending.signal));
  await until('they wait', () => waiting() === readings.length);
  assert.equal(await other.ask(), 'answered');
  ending.abort(new Error('the link has ended'));
  await Promise.allSettled(readings);
});
