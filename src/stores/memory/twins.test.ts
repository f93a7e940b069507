import { twinStoreContract } from '../contract/twins.ts';
import { createMemoryIdentityStore } from './identities.ts';
import { createMemoryTwinStore } from './twins.ts';

twinStoreContract('memory', async () => {
  const identities = createMemoryIdentityStore();
  return { store: createMemoryTwinStore(identities), identities, close: async () => {} };
});
