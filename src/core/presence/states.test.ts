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
  const presence = createPresence({ places: createMemoryPlaces(), clock, log: silentLog });
  const kept = keepPresence(presence, {
    store: {
      begin: async () => false,
      end: async () => {},
      get: async (keys) => keys.map(() => undefined),
      recover: async () => [],
      save: (states: readonly StoredPresence[]) => {
        saved.push(states.map(({ key, connected }) => `${key.deviceId} ${connected}`));
        return new Promise((resolve) => ends.push(resolve));
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
  return { clock, kept, saved, ends, connect, settle };
}

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
