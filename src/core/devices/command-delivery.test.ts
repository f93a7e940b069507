import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { silentLog } from '../../base/log.ts';
import { seededRandom } from '../../base/random.ts';
import type { Inbox } from '../commands/room.ts';
import type { Command, PutBack } from '../commands/types.ts';
import { HubError } from '../errors.ts';
import type { DevicePrincipal } from '../identity/types.ts';
import { CommandDelivery } from './command-delivery.ts';
import type { CommandWire, DeviceHub } from './types.ts';

const LOCK_MS = 60_000;
const principal: DevicePrincipal = {
  ...{ kind: 'device', key: { deviceId: 'd1' }, generationId: 'g1', expiresAt: Number.POSITIVE_INFINITY },
  ...{ authScope: 'device', authType: 'sas' },
};

/** A device that takes as many as `takes` says, over a queue that holds endlessly many commands. */
class Bench implements CommandWire {
  readonly clock = new VirtualClock();
  readonly written: string[] = [];
  readonly forgotten: string[] = [];
  readonly rested: boolean[] = [];
  takes = Number.POSITIVE_INFINITY;
  closedInboxes = 0;
  openings = 0;
  left = 1000;
  taken = 0;
  failure: Error | undefined;
  recipient = { principal, hasTakenCommands: false };
  /** What each take puts back. */
  readonly putBack: (PutBack | undefined)[] = [];
  readonly delivery: CommandDelivery;

  constructor() {
    const inbox: Inbox = {
      take: async (count, how) => {
        this.putBack.push(how?.putsBack);
        if (this.failure !== undefined) throw this.failure;
        const many = Math.min(count, this.left);
        this.left -= many;
        return Array.from({ length: many }, () => this.#locked(`t${this.taken++}`));
      },
      settle: async () => {},
      close: async () => void this.closedInboxes++,
    };
    const openInbox = (): Inbox => {
      this.openings++;
      return inbox;
    };
    // A delivery uses nothing else of the hub.
    const hub = { clock: this.clock, random: seededRandom(1), log: silentLog, commands: { openInbox } };
    this.delivery = new CommandDelivery(hub as unknown as DeviceHub, this.recipient, this, 'holder');
  }

  space(): number {
    return this.takes;
  }

  write(_command: Command, lockToken: string): boolean {
    this.written.push(lockToken);
    return true;
  }

  forget(lockToken: string): void {
    this.forgotten.push(lockToken);
  }

  rests(nothingWaits: boolean): void {
    this.rested.push(nothingWaits);
  }

  refused(): boolean {
    return false;
  }

  /** Lets everything that waits for nothing but its turn happen. */
  async settled(): Promise<void> {
    for (let turn = 0; turn < 200; turn++) await undefined;
  }

  #locked(lockToken: string): Command {
    const lockedUntil = this.clock.now() + LOCK_MS;
    return { state: { kind: 'locked', lockToken, lockedUntil } } as unknown as Command;
  }
}

test('no more than the bound is held unsettled, and each word makes room for one', async () => {
  const bench = new Bench();
  bench.delivery.wake();
  await bench.settled();
  assert.equal(bench.written.length, limits.commandsInflightMax);
  await bench.delivery.settle('t0', 'complete');
  await bench.settled();
  assert.equal(bench.written.length, limits.commandsInflightMax + 1);
});

test('what the device does not take stays taken, in order, and is no reason to take more', async () => {
  const bench = new Bench();
  bench.takes = 0;
  bench.delivery.wake();
  await bench.settled();
  assert.equal(bench.taken, 0);
  bench.takes = 3;
  bench.left = 3;
  bench.delivery.proceed();
  await bench.settled();
  assert.deepEqual(bench.written, ['t0', 't1', 't2']);
  assert.equal(bench.rested.at(-1), true);
});

test('a lock that is over makes room, and the wire is told to forget it', async () => {
  const bench = new Bench();
  bench.delivery.wake();
  await bench.settled();
  bench.clock.advance(LOCK_MS + 1);
  bench.delivery.wake();
  await bench.settled();
  assert.equal(bench.forgotten.length, limits.commandsInflightMax);
  assert.equal(bench.written.length, 2 * limits.commandsInflightMax);
});

test('a store that refuses is asked again after a while, and not by a delivery that has ended', async () => {
  const bench = new Bench();
  bench.failure = new Error('disk I/O error');
  bench.delivery.wake();
  await bench.settled();
  assert.deepEqual(bench.rested, [false]);
  bench.failure = undefined;
  bench.left = 2;
  bench.clock.advance(limits.commandsRetryMs);
  await bench.settled();
  assert.deepEqual(bench.written, ['t0', 't1']);

  const ended = new Bench();
  ended.failure = new Error('disk I/O error');
  ended.delivery.wake();
  await ended.settled();
  ended.delivery.close();
  ended.failure = undefined;
  ended.clock.advance(limits.commandsRetryMs);
  await ended.settled();
  assert.equal(ended.taken, 0);
});

test('commands that were locked behind the end are given back too', async () => {
  const bench = new Bench();
  bench.delivery.wake();
  bench.delivery.close();
  await bench.settled();
  assert.deepEqual(bench.written, []);
  assert.equal(bench.closedInboxes, 1);
});

test('who has taken nothing asks nothing of the store when it ends', async () => {
  const bench = new Bench();
  bench.left = 0;
  bench.delivery.wake();
  await bench.settled();
  bench.delivery.close();
  assert.equal(bench.closedInboxes, 0);
  const taken = new Bench();
  taken.left = 1;
  taken.delivery.wake();
  await taken.settled();
  taken.delivery.close();
  assert.equal(taken.closedInboxes, 1);
});

test('a renewed proof reopens the inbox, under the same name', async () => {
  const bench = new Bench();
  bench.recipient.principal = { ...principal, expiresAt: 1 };
  bench.delivery.wake();
  await bench.settled();
  assert.equal(bench.openings, 2);
});

test('the first take of a connection puts back what others hold; one after a failure, what it has not been told of', async () => {
  const bench = new Bench();
  bench.left = 1;
  bench.failure = new HubError('ServiceUnavailable');
  bench.delivery.wake();
  await bench.settled();
  bench.failure = undefined;
  bench.clock.advance(limits.commandsRetryMs);
  await bench.settled();
  bench.delivery.wake();
  await bench.settled();
  bench.failure = new HubError('ServiceUnavailable');
  bench.delivery.wake();
  await bench.settled();
  bench.failure = undefined;
  bench.clock.advance(limits.commandsRetryMs);
  await bench.settled();
  const first = { others: true, but: [] };
  const after = { others: false, but: ['t0'] };
  assert.deepEqual(bench.putBack, [first, first, undefined, undefined, after]);
});
