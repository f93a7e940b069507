import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../base/clock.ts';
import { silentLog } from '../base/log.ts';
import { seededRandom } from '../base/random.ts';
import { exampleIdentity } from '../stores/contract/identities.ts';
import { createMemoryAuthorityStore } from '../stores/memory/authorities.ts';
import { createMemoryCommandQueue } from '../stores/memory/command-queue.ts';
import { createMemoryConfigurationStore } from '../stores/memory/configurations.ts';
import { memoryFiles } from '../stores/memory/files.ts';
import { createMemoryFleetStore } from '../stores/memory/fleet.ts';
import { createMemoryIdentityStore } from '../stores/memory/identities.ts';
import { createMemoryJobStore } from '../stores/memory/jobs.ts';
import { createMemoryPlaces } from '../stores/memory/places.ts';
import { createMemorySubscriptionStore } from '../stores/memory/subscriptions.ts';
import { createMemoryTwinStore } from '../stores/memory/twins.ts';
import { createHubState } from './hub-state.ts';
import { createGuard } from './identity/guard.ts';
import { refusalAudit } from './monitoring/refused-operations.ts';
import type { Recorder } from './monitoring/types.ts';
import { createPresence } from './presence/presence.ts';
import { createThrottling } from './throttling/throttling.ts';

test('a device whose creation nobody was told of is let in when the store says that it may have missed something', async () => {
  const clock = new VirtualClock();
  const random = seededRandom(3);
  const recorder: Recorder = { record: () => {} };
  const kept = createMemoryIdentityStore();
  /** As where the database carries out a write and its answer is lost: watchers hear of nothing. */
  const identities = { ...kept, watchOwnWrites: () => () => {} };
  const twins = createMemoryTwinStore(kept);
  const guard = createGuard(clock, refusalAudit(recorder));
  const state = createHubState({
    ...{ guard, identities, authorities: createMemoryAuthorityStore(), subscriptions: createMemorySubscriptionStore() },
    ...{ recorder, limits: {}, clock, random, log: silentLog },
    commandQueue: createMemoryCommandQueue(kept),
    twins,
    jobs: createMemoryJobStore(twins),
    configurations: createMemoryConfigurationStore(kept, twins),
    fleet: (live) => createMemoryFleetStore(kept, twins, live),
    files: memoryFiles(guard, kept, clock, random),
    presence: createPresence({ places: createMemoryPlaces(), clock }),
    throttling: createThrottling({}, clock),
    commandFollower: undefined,
  });
  const key = { deviceId: 'd1' };
  assert.equal(await state.cache.load(key), undefined);
  await kept.write([{ kind: 'create', identity: exampleIdentity(key), countMax: 100 }]);
  state.rowsMissed();
  assert.equal((await state.cache.load(key))?.deviceId, 'd1');
});
