import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MessageChannel } from 'node:worker_threads';
import { VirtualClock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { silentLog } from '../../base/log.ts';
import type { HubError } from '../../core/errors.ts';
import { createReceiverPlaces } from '../../core/events/receivers.ts';
import { createPresence } from '../../core/presence/presence.ts';
import { append } from '../../stores/contract/event-log.ts';
import { createMemoryEventLog } from '../../stores/memory/event-log.ts';
import { createMemoryPlaces } from '../../stores/memory/places.ts';
import { openThreadLink } from './calls.ts';
import { EventLogHost } from './event-log-host.ts';
import { eventLogStandIn } from './event-log-stand-in.ts';
import { presenceStandIn, servePresence } from './presence.ts';
import { receiversStandIn, serveReceivers } from './receivers.ts';
import { watchMember } from './watch-member.ts';

const turns = async (): Promise<void> => {
  for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve));
};

test('a member that does not answer is given up in a bounded time, and one that answers late is not', async () => {
  const clock = new VirtualClock();
  let answer = (): void => {};
  let questions = 0;
  let givenUp = 0;
  const ask = (): Promise<void> => {
    questions++;
    return new Promise((resolve) => {
      answer = resolve;
    });
  };
  watchMember(clock, ask, () => givenUp++);
  const beats = async (count: number): Promise<void> => {
    for (let beat = 0; beat < count; beat++) {
      clock.advance(limits.memberBeatMs);
      await turns();
    }
  };
  // Each answer comes as late as it may.
  for (let round = 0; round < 3; round++) {
    await beats(limits.memberSilentBeatsMax);
    answer();
    await turns();
  }
  assert.deepEqual([givenUp, questions], [0, 3]);
  await beats(1 + limits.memberSilentBeatsMax);
  assert.equal(givenUp, 1);
  await beats(3 * limits.memberSilentBeatsMax);
  assert.deepEqual([givenUp, questions], [1, 4]);
});

test('one question is under way at a time, and none when the asking has ended', async () => {
  const clock = new VirtualClock();
  let answer = (): void => {};
  let questions = 0;
  const ask = (): Promise<void> => {
    questions++;
    return new Promise((resolve) => {
      answer = resolve;
    });
  };
  const end = watchMember(clock, ask, () => assert.fail('it was given up'));
  clock.advance(limits.memberBeatMs);
  clock.advance(limits.memberBeatMs);
  answer();
  await turns();
  end();
  clock.advance(100 * limits.memberBeatMs);
  await turns();
  assert.equal(questions, 1);
});

test('a question that is refused on its way is no answer: it is asked again, and the member given up if none gets through', async () => {
  const clock = new VirtualClock();
  let questions = 0;
  let givenUp = 0;
  let isRefused = true;
  const ask = async (): Promise<void> => {
    questions++;
    if (isRefused) throw new Error('too many calls wait');
  };
  watchMember(clock, ask, () => givenUp++);
  const beat = async (): Promise<void> => {
    clock.advance(limits.memberBeatMs);
    await turns();
  };
  for (let nth = 0; nth < limits.memberSilentBeatsMax; nth++) await beat();
  assert.deepEqual([questions, givenUp], [limits.memberSilentBeatsMax, 0]);
  isRefused = false;
  await beat();
  assert.equal(givenUp, 1, 'none was answered in time');

  // One that gets through counts.
  watchMember(clock, ask, () => givenUp++);
  for (const refused of [true, true, false, true, true, false]) {
    isRefused = refused;
    await beat();
  }
  assert.equal(givenUp, 1);
});

/** What a member has of the main thread's hub, over a link that the test closes on either side. */
function member() {
  const { port1, port2 } = new MessageChannel();
  const [main, own] = [openThreadLink(port1), openThreadLink(port2)];
  const clock = new VirtualClock();
  const presence = createPresence({ places: createMemoryPlaces(), clock });
  const receivers = createReceiverPlaces();
  const log = createMemoryEventLog({ name: 'hub', partitionCount: 1, durable: 'byHand' });
  const host = new EventLogHost(log, clock);
  const ends = [servePresence(main, presence, 'thread 1'), serveReceivers(main, receivers), host.serve(main)];
  const bounds = { writerBytesMax: limits.writerBytesMax, batchBytesMax: limits.batchBytesMax };
  const ownLog = eventLogStandIn(own, host.start(), silentLog, bounds);
  const standIn = presenceStandIn(own, {
    ...{ clock, log: silentLog, isSettled: () => ownLog.isSettled(), settled: () => ownLog.settled() },
  });
  return {
    ...{ own, presence, ownLog, standIn },
    ownReceivers: receiversStandIn(own),
    /** The main thread hears that the member is gone. */
    hostEnds(): void {
      main.close();
      for (const end of ends) end();
    },
    close: () => port1.close(),
  };
}

const claimOf = (deviceId: string, told: string[]) => ({
  ...({ key: { deviceId }, generationId: 'g1', protocol: 'mqtt', credential: 'sas', peer: '127.0.0.1' } as const),
  drop: (reason: string) => void told.push(`${deviceId} ${reason}`),
});

test('a member whose link has closed serves nobody: connections, readers and what waits for the log have ended', async (t) => {
  const { own, ownLog, standIn, ownReceivers, close } = member();
  t.after(close);
  const told: string[] = [];
  await standIn.claim(claimOf('d1', told));
  const left = await standIn.claim(claimOf('d2', told));
  left.release('by-client');
  const reasons: string[] = [];
  const place = { eventHub: 'hub', consumerGroup: '$Default', partition: 0 };
  await ownReceivers.enter(place, { name: 'r', displaced: ({ code }: HubError) => void reasons.push(code) });
  const waiting = assert.rejects(append(ownLog, 0, ['on its way']), /gone/);
  await turns();
  own.close();
  assert.deepEqual(told, ['d1 connection-lost']);
  assert.deepEqual(reasons, ['ServiceUnavailable']);
  await waiting;
  assert.equal(ownLog.health().ok, false);
  await assert.rejects(standIn.claim(claimOf('d3', told)), { code: 'ServiceUnavailable' });
  // A drop, and a stop, wait for what is settled: all is.
  await ownLog.settled();
});

test('what a member sends when it has been given up counts for nothing', async (t) => {
  const { presence, ownLog, standIn, hostEnds, close } = member();
  t.after(close);
  const told: string[] = [];
  const first = await standIn.claim(claimOf('d1', told));
  hostEnds();
  assert.equal((await presence.state({ deviceId: 'd1' })).connected, false);
  const successor = await presence.claim(claimOf('d1', told));
  // It does not know yet.
  first.touch();
  first.release('by-client');
  void append(ownLog, 0, ['too late']).catch(() => {});
  await turns();
  assert.equal((await presence.state({ deviceId: 'd1' })).connected, true);
  assert.equal(ownLog.isSettled(), false);
  successor.release('by-client');
});
