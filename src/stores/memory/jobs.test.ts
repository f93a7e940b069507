import { jobStoreContract } from '../contract/jobs.ts';
import { createMemoryFleetStore } from './fleet.ts';
import { createMemoryIdentityStore } from './identities.ts';
import { createMemoryJobStore } from './jobs.ts';
import { createMemoryTwinStore } from './twins.ts';

jobStoreContract('memory', async () => {
  const identities = createMemoryIdentityStore();
  const twins = createMemoryTwinStore(identities);
  const store = createMemoryJobStore(twins);
  const state = { connected: false, connectionStateUpdatedTime: 0, lastActivityTime: 0 };
  const live = { state: async () => state, commandDepths: async () => [0] };
  return {
    store,
    identities,
    twins,
    fleet: createMemoryFleetStore(identities, twins, live, store),
    close: async () => {},
  };
});
