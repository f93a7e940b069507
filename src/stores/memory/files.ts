import type { Clock } from '../../base/clock.ts';
import { silentLog } from '../../base/log.ts';
import { type Random, systemRandom } from '../../base/random.ts';
import { createFiles, type FilesRoom } from '../../core/files/files.ts';
import { defaultFileLimits } from '../../core/files/types.ts';
import type { Guard } from '../../core/identity/guard.ts';
import type { IdentityStore } from '../../core/identity/ports.ts';
import { silentRecorder } from '../../core/monitoring/types.ts';
import { createMemoryFileGrants } from './file-grants.ts';
import { createMemoryFileRecords } from './file-records.ts';
import { createMemoryRollouts } from './file-rollouts.ts';
import { createMemoryObjectStore } from './object-store.ts';

/** Files of a hub on memory stores. */
export function memoryFiles(
  guard: Guard,
  identities: Pick<IdentityStore, 'get'>,
  clock: Clock,
  random: Random = systemRandom,
): FilesRoom {
  return createFiles({
    guard,
    store: createMemoryObjectStore(clock),
    records: createMemoryFileRecords(identities),
    grants: createMemoryFileGrants(identities),
    rollouts: createMemoryRollouts(),
    identities,
    limits: defaultFileLimits,
    pace: { slowed: (source) => source },
    uploadRate: { demand: () => {} },
    secret: random.bytes(32),
    hostName: () => 'localhost',
    recorder: silentRecorder,
    clock,
    random,
    log: silentLog,
  });
}
