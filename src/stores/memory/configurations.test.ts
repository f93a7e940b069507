import { configurationStoreContract } from '../contract/configurations.ts';
import { createMemoryConfigurationStore } from './configurations.ts';
import { createMemoryIdentityStore } from './identities.ts';
import { createMemoryTwinStore } from './twins.ts';

configurationStoreContract('memory', async () => {
  const identities = createMemoryIdentityStore();
  const twins = createMemoryTwinStore(identities);
  return { store: createMemoryConfigurationStore(identities, twins), identities, twins, close: async () => {} };
});
