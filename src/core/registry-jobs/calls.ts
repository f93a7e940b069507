import type { Sheet } from '../identity/guard.ts';
import type { RegistryJobs } from './room.ts';

/** How the calls of registry jobs are asked for. */
export const registryJobCalls: Sheet<RegistryJobs> = {
  create: { operation: 'registryJobs.write' },
  get: { operation: 'registryJobs.read' },
  // Asked beside what the caller wants: that it may not see imports is no refusal that anyone is to hear of.
  glimpse: (room, guard) => async (principal, id) => {
    guard.choose([principal], 'registryJobs.read', undefined, false);
    return room.glimpse(principal, id);
  },
  list: { operation: 'registryJobs.read' },
  cancel: { operation: 'registryJobs.write' },
  openArea: { operation: 'registryJobs.write' },
};
