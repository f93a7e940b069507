/** When configurations are carried out, over a store that only says that there is a walk to do. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { VirtualClock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { silentLog } from '../../base/log.ts';
import { seededRandom } from '../../base/random.ts';
import { createMemoryConfigurationStore } from '../../stores/memory/configurations.ts';
import { createMemoryIdentityStore } from '../../stores/memory/identities.ts';
import { createMemoryTwinStore } from '../../stores/memory/twins.ts';
import { buildIdentity } from '../identity/rules.ts';
import { type CarryingParts, carryConfigurations } from './carrying.ts';
import type { Step } from './ports.ts';

const nothing = { isEmpty: false, marked: 0, walked: 0, changed: 0, missing: [], refused: [] };

function carrying(
  step: (clock: VirtualClock) => Step,
  waiting = { marks: 0, walks: false },
  notApplied: CarryingParts['notApplied'] = () => {},
) {
  const clock = new VirtualClock();
  const identities = createMemoryIdentityStore();
  const memory = createMemoryConfigurationStore(identities, createMemoryTwinStore(identities));
  let steps = 0;
  const carried = carryConfigurations({
    store: {
      ...memory,
      step: async () => {
        steps++;
        return step(clock);
      },
      waiting: async () => waiting,
    },
    ...{ identities, clock, random: seededRandom(1), log: silentLog, withEvents: false, modulesPerDeviceMax: 0 },
    lookMs: limits.configurationLookMs,
    notApplied,
  });
  return { clock, carried, identities, steps: () => steps };
}

test('a clock that is set while the fleet is walked over does not stop the walk', async () => {
  let left = 3;
  const { clock, carried, steps } = carrying((own) => {
    own.setWall(own.now() + 3_600_000);
    return { ...nothing, kind: --left > 0 ? 'more' : 'idle', walked: 32 };
  });
  for (let at = 0; at < 3; at++) {
    await turn();
    clock.advance(1);
  }
  assert.equal(steps(), 3);
  await carried.close();
});

test('the end does not wait for the pause of a walk', async () => {
  const { clock, carried, steps } = carrying((own) => {
    own.advance(60_000);
    return { ...nothing, kind: 'more', walked: 32 };
  });
  await turn();
  await carried.close();
  clock.advance(3_600_000);
  await turn();
  assert.equal(steps(), 1);
});

test('that a device has no place for a module is told once', async () => {
  const modules = [{ moduleId: 'm1', isManaged: false }];
  const told: string[] = [];
  const missing = (): Step => ({ ...nothing, kind: 'idle', missing: [{ deviceId: 'd1', modules, touched: 0 }] });
  const { clock, carried, identities } = carrying(missing, { marks: 1, walks: false }, (key) =>
    told.push(`${key.deviceId}/${key.moduleId}`),
  );
  const identity = buildIdentity({ deviceId: 'd1' }, seededRandom(2), 0);
  await identities.write([{ kind: 'create', identity, countMax: 1 }]);
  for (let at = 0; at < 3; at++) {
    clock.advance(limits.configurationLookMs);
    await turn();
  }
  assert.deepEqual(told, ['d1/m1']);
  await carried.close();
});

test('what another process has left is found', async () => {
  const { clock, carried, steps } = carrying(() => ({ ...nothing, kind: 'idle' }), { marks: 1, walks: false });
  await turn();
  assert.equal(steps(), 1);
  clock.advance(limits.configurationLookMs);
  await turn();
  assert.equal(steps(), 2);
  await carried.close();
});
