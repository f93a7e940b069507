import type { Sheet } from '../identity/guard.ts';
import type { RegistryJobs } from './room.ts';

/** How the calls of registry jobs are asked for. */
export const registryJobCalls: Sheet<RegistryJobs> = {
  create: { operation: 'registryJobs.write' },
  get: { operation: 'registryJobs.read' },
  list: { operation: 'registryJobs.read' },
  cancel: { operation: 'registryJobs.write' },
  openArea: { operation: 'registryJobs.write' },
};
