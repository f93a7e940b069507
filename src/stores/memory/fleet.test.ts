import { fleetStoreContract } from '../contract/fleet.ts';
import { createMemoryFleetStore } from './fleet.ts';
import { createMemoryIdentityStore } from './identities.ts';
import { createMemoryTwinStore } from './twins.ts';

fleetStoreContract('memory', async () => {
  const identities = createMemoryIdentityStore();
  const twins = createMemoryTwinStore(identities);
  const fleet = createMemoryFleetStore(identities, twins, {
    state: async () => ({ connected: false, connectionStateUpdatedTime: 0, lastActivityTime: 0 }),
    commandDepths: async (keys) => keys.map(() => 0),
  });
  return { fleet, twins, identities, close: async () => {} };
});
