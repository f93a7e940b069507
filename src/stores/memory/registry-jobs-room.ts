import type { Clock } from '../../base/clock.ts';
import type { Log } from '../../base/log.ts';
import type { Random } from '../../base/random.ts';
import { HubError } from '../../core/errors.ts';
import type { FilesRoom } from '../../core/files/files.ts';
import type { Guard } from '../../core/identity/guard.ts';
import type { IdentityStore } from '../../core/identity/ports.ts';
import type { RegistryLimits } from '../../core/identity/registry-writes.ts';
import type { Recorder } from '../../core/monitoring/types.ts';
import { createRegistryJobs, type RegistryJobsRoom } from '../../core/registry-jobs/registry-jobs.ts';
import { importedTwin, isAsImported, saysNothing } from '../../core/twins/imported.ts';
import { sectionJson } from '../../core/twins/json.ts';
import type { TwinStore } from '../../core/twins/ports.ts';
import { twinETag } from '../../core/twins/rules.ts';
import { createMemoryRegistryJobs, createMemoryRegistryPages } from './registry-jobs.ts';

export interface MemoryJobsParts {
  readonly guard: Guard;
  readonly identities: IdentityStore;
  readonly twins: TwinStore;
  readonly files: FilesRoom;
  readonly limits: RegistryLimits;
  readonly recorder: Recorder;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** Imports and exports of a hub on memory stores, to and from its own areas only. */
export function memoryRegistryJobs(parts: MemoryJobsParts): RegistryJobsRoom {
  const { areas } = parts.files;
  return createRegistryJobs({
    ...parts,
    records: createMemoryRegistryJobs(),
    pages: createMemoryRegistryPages(parts.identities, parts.twins),
    async open(uri) {
      const own = areas.open(uri);
      if (own === undefined) throw new HubError('BlobContainerValidationError', 'The container is none of this hub.');
      return own;
    },
    isElsewhere: (uri) => areas.isElsewhere(uri),
    makeArea: (lifeMs) => areas.make(lifeMs),
    twins: {
      store: parts.twins,
      rules: { isAsImported, saysNothing },
      withEvents: false,
      forms: { etagOf: twinETag, sectionJson },
      read: importedTwin,
    },
    holder: 'memory',
    turn: async () => {},
  });
}
