import { type FleetTrial, fleetStoreContract } from '../contract/fleet.ts';
import { fleetMatcherContract } from '../contract/fleet-matcher.ts';
import { liveQueriesContract } from '../contract/live-queries.ts';
import { createMemoryFleetStore } from './fleet.ts';
import { createMemoryIdentityStore } from './identities.ts';
import { createMemoryTwinStore } from './twins.ts';

async function open(): Promise<FleetTrial> {
  const identities = createMemoryIdentityStore();
  const twins = createMemoryTwinStore(identities);
  const fleet = createMemoryFleetStore(identities, twins, {
    state: async () => ({ connected: false, connectionStateUpdatedTime: 0, lastActivityTime: 0 }),
    commandDepths: async (keys) => keys.map(() => 0),
  });
  return { fleet, twins, identities, close: async () => {} };
}

fleetStoreContract('memory', open);
fleetMatcherContract('memory', open);
liveQueriesContract('memory', open);
