import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { silentLog } from '../../base/log.ts';
import { createMemoryPlaces } from '../../stores/memory/places.ts';
import { createPresence } from './presence.ts';
import { keepPresence, type StoredPresence } from './states.ts';
import type { ConnectionClaim } from './types.ts';

/** Presence over a store whose writes end when the test says so. */
function scene() {
  const clock = new VirtualClock();
  const saved: string[][] = [];
  const ends: (() => void)[] = [];
  const fails: ((error: Error) => void)[] = [];
  const presence = createPresence({ places: createMemoryPlaces(), clock, log: silentLog });
  const kept = keepPresence(presence, {
    store: {
      begin: async () => false,
      end: async () => {},
      get: async (keys) => keys.map(() => undefined),
      recover: async () => [],
      save: (states: readonly StoredPresence[]) => {
        saved.push(states.map(({ key, connected }) => `${key.deviceId} ${connected}`));
        return new Promise((resolve, reject) => {
          ends.push(resolve);
          fails.push(reject);
        });
      },
    },
    clock,
    log: silentLog,
  });
  const connect = async (deviceId: string): Promise<void> => {
    const claim = {
      key: { deviceId },
      generationId: 'g',
      drop: () => {},
      wake: () => {},
    } as unknown as ConnectionClaim;
    await presence.claim(claim);
  };
  /** Lets promises settle. */
  const settle = async (): Promise<void> => {
    for (let turn = 0; turn < 30; turn++) await Promise.resolve();
  };
  return { clock, kept, saved, ends, fails, connect, settle };
}

test('who asks for the states of now waits for those that had changed then, and for no later ones', async () => {
  const { clock, kept, saved, ends, connect, settle } = scene();
  clock.advance(1000);
  const done: string[] = [];
  const ask = (name: string): void => void kept.settle().then(() => done.push(name));
  ask('of nothing');
  await settle();
  assert.deepEqual(done.splice(0), ['of nothing']);
  await connect('d1');
  ask('of d1');
  await connect('d2');
  ask('of both');
  await settle();
  assert.deepEqual([saved, done], [[['d1 true']], []]);
  await connect('d3');
  ends.shift()?.();
  await settle();
  assert.deepEqual(done.splice(0), ['of d1'], 'while others are written');
  assert.deepEqual(saved.slice(1), [['d2 true', 'd3 true']]);
  ask('of those on their way');
  ends.shift()?.();
  await settle();
  assert.deepEqual(done, ['of both', 'of those on their way']);
  assert.equal(kept.pending(), 0);
});

test('a write that takes longer than the next change waits does not end all writing', async () => {
  const { clock, kept, saved, ends, connect, settle } = scene();
  clock.advance(1000);
  await connect('d1');
  clock.advance(limits.presenceFlushMs);
  await settle();
  assert.deepEqual(saved, [['d1 true']]);
  await connect('d2');
  clock.advance(limits.presenceFlushMs);
  await settle();
  assert.equal(kept.pending(), 2);
  for (const end of ends.splice(0)) end();
  await settle();
  assert.deepEqual(saved.slice(1), [['d2 true']]);
  for (const end of ends.splice(0)) end();
  await settle();
  assert.equal(kept.pending(), 0);
  await connect('d3');
  clock.advance(limits.presenceFlushMs);
  await settle();
  assert.deepEqual(saved.slice(2), [['d3 true']]);
});

test('a state that could not be written when it was new is told of when it is', async () => {
  const { clock, kept, saved, ends, fails, connect, settle } = scene();
  const told: string[] = [];
  kept.presence.watch({
    connected: ({ key }) => told.push(`${key.deviceId} connected`),
    disconnected: () => {},
    storedLate: ({ deviceId }) => told.push(`${deviceId} late`),
  });
  clock.advance(1000);
  await connect('d1');
  let isSettled = false;
  void kept.settle().then(() => {
    isSettled = true;
  });
  await settle();
  fails.shift()?.(new Error('no database'));
  ends.shift();
  await settle();
  assert.ok(isSettled, 'who asks for the states is not held up');
  await connect('d2');
  clock.advance(limits.presenceAgainMs);
  await settle();
  ends.shift()?.();
  await settle();
  assert.deepEqual(saved, [['d1 true'], ['d1 true', 'd2 true']]);
  assert.deepEqual(told, ['d1 connected', 'd2 connected', 'd1 late']);
  assert.equal(kept.pending(), 0);
});
