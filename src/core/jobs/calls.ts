import type { Sheet } from '../identity/guard.ts';
import type { Jobs } from './room.ts';

/** How jobs are asked for. */
export const jobCalls: Sheet<Jobs> = {
  create: { operation: 'jobs.write' },
  get: { operation: 'jobs.read' },
  cancel: { operation: 'jobs.write' },
  list: { operation: 'jobs.read' },
};
