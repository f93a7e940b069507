import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { VirtualClock } from '../base/clock.ts';
import { limits } from '../base/limits.ts';
import { silentLog } from '../base/log.ts';
import type { CommandQueue } from '../core/commands/ports.ts';
import { defaultCommandLimits } from '../core/commands/rules.ts';
import { admitIdentities, newCommand } from '../stores/contract/fresh-queue.ts';
import { createMemoryCommandQueue } from '../stores/memory/command-queue.ts';
import { createMemoryIdentityStore } from '../stores/memory/identities.ts';
import { createSweeper, type Sweeper } from './sweeper.ts';

let clock: VirtualClock;
let sweeper: Sweeper;
let begun: number[];
let answer: () => Promise<number | undefined>;

const turn = (): Promise<void> => new Promise(setImmediate);
/** Lets time pass in small steps, and the sweeper work between them. */
async function pass(durationMs: number, stepMs = 50): Promise<void> {
  for (let passed = 0; passed < durationMs; passed += stepMs) {
    clock.advance(stepMs);
    await turn();
  }
}

beforeEach(() => {
  clock = new VirtualClock(0);
  sweeper = createSweeper(clock, silentLog);
  begun = [];
  answer = async () => undefined;
});
const start = (): void =>
  sweeper.start({
    sweep() {
      begun.push(clock.now());
      return answer();
    },
  });

test('sweeps at the start, when the last sweep said so, and at least every sweepMsMax', async () => {
  const answers: (number | undefined)[] = [1000, undefined, 1_000_000];
  answer = async () => answers.shift();
  start();
  await pass(1000 + 2 * limits.sweepMsMax);
  assert.deepEqual(begun, [limits.sweepMsMin, 1000, 1000 + limits.sweepMsMax, 1000 + 2 * limits.sweepMsMax]);
});

test('never sweeps more often than every sweepMsMin, however much is due, and never two at once', async () => {
  answer = async () => clock.now();
  start();
  await pass(1000);
  assert.deepEqual(
    begun,
    Array.from({ length: 10 }, (_, nth) => (nth + 1) * limits.sweepMsMin),
  );
  let finish = (_next: number): void => {};
  answer = () => new Promise((resolve) => (finish = resolve));
  await pass(1000);
  assert.equal(begun.length, 11);
  finish(clock.now());
  await turn();
  await pass(limits.sweepMsMin);
  assert.equal(begun.length, 12);
});

async function openQueue(): Promise<CommandQueue> {
  const identities = createMemoryIdentityStore();
  await admitIdentities(identities, [{ deviceId: 'd1' }]);
  return createMemoryCommandQueue(identities);
}

test('a command with a short life, or a short lock, brings the next sweep forward', async () => {
  const queue = sweeper.watch(await openQueue());
  start();
  await pass(200);
  await queue.enqueue(newCommand('m', { expiresAt: 3000 }), defaultCommandLimits, clock.now());
  await pass(3000);
  assert.deepEqual(begun, [100, 3000]);
  await queue.enqueue(newCommand('m'), defaultCommandLimits, clock.now());
  const lock = { tokens: ['t'], holder: 'c', lockMs: 5000 };
  const now = clock.now();
  await queue.lockNext({ deviceId: 'd1' }, 'g1', lock, now);
  await pass(6000);
  assert.equal(begun[2], now + 5000);
});

test('what falls due during a sweep is not overlooked', async () => {
  const queue = sweeper.watch(await openQueue());
  answer = async () => {
    await queue.enqueue(newCommand('m', { expiresAt: 2000 }), defaultCommandLimits, clock.now());
    answer = async () => undefined;
    return undefined;
  };
  start();
  await pass(2000);
  assert.deepEqual(begun, [100, 2000]);
});

test('goes on after a failure, and stops for good when it is closed', async () => {
  answer = () => Promise.reject(new Error('the disk'));
  start();
  await pass(100 + limits.sweepMsMax);
  assert.equal(begun.length, 2);
  await sweeper.close();
  await pass(2 * limits.sweepMsMax, 1000);
  assert.equal(begun.length, 2);
});
