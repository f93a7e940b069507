import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { silentLog } from '../../base/log.ts';
import type { HeldSession } from '../../core/presence/session.ts';
import type { DesiredNote } from '../../core/twins/ports.ts';
import { lookAtDesired } from './desired-look.ts';

const settle = async (): Promise<void> => {
  for (let turn = 0; turn < 50; turn++) await undefined;
};

test('every device is looked at once in the time, in batches, and told of what is newer once', async () => {
  const clock = new VirtualClock();
  const count = 2 * limits.desiredLookAtOnce + 1;
  const sessions = Array.from({ length: count }, (_, at): HeldSession => {
    return { key: { deviceId: `d${at}` }, generationId: 'g1', desiredVersion: 0 };
  });
  const versions = new Map([['d3', 7]]);
  const sizes: number[] = [];
  let isAway = false;
  const told: unknown[] = [];
  const close = lookAtDesired({
    presence: {
      sessions: () => sessions.values(),
      held: () => sessions.length,
      notify: async (key, note) => told.push([key.deviceId, note.value]) > 0,
    },
    twins: {
      async desiredNewer(asked): Promise<readonly DesiredNote[]> {
        if (isAway) throw new Error('the database is away');
        sizes.push(asked.length);
        return asked.flatMap((note) => {
          const version = versions.get(note.key.deviceId) ?? 0;
          return version > note.version ? [{ ...note, version }] : [];
        });
      },
    },
    ...{ clock, log: silentLog },
  });
  const round = async (): Promise<void> => {
    for (let batch = 0; batch < 3; batch++) {
      await settle();
      clock.advance(limits.desiredLookMs / 3);
    }
    await settle();
  };
  await round();
  assert.deepEqual(sizes, [limits.desiredLookAtOnce, limits.desiredLookAtOnce, 1]);
  assert.deepEqual(told, [['d3', { generationId: 'g1', version: 7 }]]);
  await round();
  assert.equal(told.length, 1, 'what it was told of it is not told of again');
  isAway = true;
  versions.set('d3', 8);
  await round();
  assert.equal(told.length, 1);
  isAway = false;
  await round();
  assert.deepEqual(told.at(-1), ['d3', { generationId: 'g1', version: 8 }]);
  close();
  versions.set('d3', 9);
  await round();
  assert.equal(told.length, 2);
});
