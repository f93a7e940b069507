/** Modules that a deployment wants on an edge device, and that are not there yet. */
import type { Random } from '../../base/random.ts';
import type { IdentityStore, IdentityWriteOutcome } from '../identity/ports.ts';
import { buildIdentity } from '../identity/rules.ts';
import type { MissingModules } from './ports.ts';

export interface ModuleMakerParts {
  readonly identities: Pick<IdentityStore, 'write'>;
  readonly random: Random;
  readonly modulesPerDeviceMax: number;
}

/** Those that the runtime of the device manages are marked so. @returns one outcome for each; `exists` is one, too */
export function makeModules(
  { identities, random, modulesPerDeviceMax: countMax }: ModuleMakerParts,
  deviceId: string,
  modules: MissingModules['modules'],
): Promise<readonly IdentityWriteOutcome[]> {
  return identities.write(
    modules.map(({ moduleId, isManaged }) => ({
      kind: 'create',
      identity: buildIdentity({ deviceId, moduleId, ...(isManaged && { managedBy: 'IotEdge' }) }, random, 0),
      countMax,
    })),
  );
}
