import { registryJobContract } from '../contract/registry-jobs.ts';
import { createMemoryIdentityStore } from './identities.ts';
import { createMemoryRegistryJobs, createMemoryRegistryPages } from './registry-jobs.ts';
import { createMemoryTwinStore } from './twins.ts';

registryJobContract('memory', async () => {
  const identities = createMemoryIdentityStore();
  const twins = createMemoryTwinStore(identities);
  const pages = createMemoryRegistryPages(identities, twins);
  return { jobs: createMemoryRegistryJobs(), pages, identities, twins, close: async () => {} };
});
