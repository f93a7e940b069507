import { configurations } from './configurations.ts';
import type { EngineName } from './counted-key.ts';
import { identityCounts } from './identity-counts.ts';
import { jobsFormat } from './jobs.ts';
import { nodes } from './nodes.ts';
import { places } from './places.ts';
import { presenceOfNodes } from './presence-of-nodes.ts';
import { registryJobs } from './registry-jobs.ts';
import { routesFormat } from './routes.ts';

/**
 * The format that no hub has been released with yet: whatever else changes before that joins it, in a file of its own beside this one,
 * and needs no fixture. With the release it becomes the last step of `released.ts`.
 */
export const unreleased = (engine: EngineName): readonly string[] => [
  ...presenceOfNodes,
  ...registryJobs,
  ...jobsFormat,
  ...configurations,
  ...routesFormat,
  ...places(engine),
  ...identityCounts(engine),
  ...nodes(engine),
];
