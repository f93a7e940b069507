/** Opens imports and exports of the registry: their containers, and the turns in time. */
import { readFileSync } from 'node:fs';
import { setImmediate as turn } from 'node:timers/promises';
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import type { Random } from '../../base/random.ts';
import type { Configurations } from '../../core/configurations/room.ts';
import { HubError } from '../../core/errors.ts';
import type { FilesRoom } from '../../core/files/files.ts';
import type { Guard, Guarded } from '../../core/identity/guard.ts';
import type { IdentityStore } from '../../core/identity/ports.ts';
import type { RegistryLimits } from '../../core/identity/registry-writes.ts';
import type { Recorder } from '../../core/monitoring/types.ts';
import type { OpenContainer, RegistryJobStore, RegistryPages } from '../../core/registry-jobs/ports.ts';
import { createRegistryJobs, type RegistryJobsRoom } from '../../core/registry-jobs/registry-jobs.ts';
import { importedTwin, isAsImported, saysNothing } from '../../core/twins/imported.ts';
import { sectionJson } from '../../core/twins/json.ts';
import type { TwinStore } from '../../core/twins/ports.ts';
import { twinETag } from '../../core/twins/rules.ts';
import type { Settings } from '../config/config.ts';
import type { Shutdown } from '../lifecycle.ts';
import { type AllowedHost, allowedHost } from './blob-hosts.ts';
import { configurationLines } from './configuration-lines.ts';

export interface OpenJobsParts {
  readonly settings: Settings;
  readonly guard: Guard;
  readonly records: RegistryJobStore;
  readonly pages: RegistryPages;
  readonly identities: IdentityStore;
  readonly twins: TwinStore;
  readonly twinEvents: boolean;
  readonly areas: FilesRoom['areas'];
  readonly configurations: Guarded<Configurations>;
  readonly limits: RegistryLimits;
  /** As of `createRegistryJobs`. */
  readonly holder: string;
  readonly mayWork: () => boolean;
  readonly recorder: Recorder;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly shutdown: Shutdown;
}

export function openRegistryJobs(parts: OpenJobsParts): RegistryJobsRoom {
  const { clock, log, shutdown } = parts;
  const room = createRegistryJobs({
    ...parts,
    open: containers(parts),
    configurations: configurationLines(parts.configurations),
    isElsewhere: (uri) => parts.areas.isElsewhere(uri),
    makeArea: (lifeMs) => parts.areas.make(lifeMs),
    twins: {
      store: parts.twins,
      rules: { isAsImported, saysNothing },
      withEvents: parts.twinEvents,
      forms: { etagOf: twinETag, sectionJson },
      read: importedTwin,
    },
    turn: () => turn(),
  });
  shutdown.add('imports and exports', carryOn(room, clock, log));
  return room;
}

/** An area of the hub, else a container elsewhere, where that is allowed. */
function containers({ settings, areas, clock }: OpenJobsParts): OpenContainer {
  // An area may be one of another hub.
  const elsewhere = (uri: string): AllowedHost => {
    try {
      return allowedHost(uri, settings.registryBlobHosts);
    } catch (error) {
      if (!(error instanceof HubError) || !areas.isAddress(uri)) throw error;
      throw new HubError(error.code, 'The address of the area is over, or it is not as this hub has signed it.');
    }
  };
  return async (uri) => {
    const own = areas.open(uri);
    if (own !== undefined) return own;
    const allowed = elsewhere(uri);
    // Only a hub that calls elsewhere needs it.
    const { openSasContainer } = await import('../../stores/objects/azure/sas-container.ts');
    const { filesStoreCaFile } = settings;
    const ca = filesStoreCaFile === undefined ? undefined : readFileSync(filesStoreCaFile, 'utf8');
    return openSasContainer({ ...allowed, ca, clock, observe: () => {} });
  };
}

/** Works on what waits: at once when a back end asks, and now and then on what a crash, or another node, has left. */
function carryOn(room: RegistryJobsRoom, clock: Clock, log: Log): () => Promise<void> {
  const stop = new AbortController();
  let running: Promise<void> | undefined;
  let cancel = (): void => {};
  let isAsked = false;
  let sweptAt = Number.NEGATIVE_INFINITY;
  const sweep = async (): Promise<void> => {
    if (clock.monotonic() - sweptAt < limits.registryJobsSweptMs) return;
    sweptAt = clock.monotonic();
    await room.sweep();
  };
  const look = (): void => {
    cancel();
    isAsked = running !== undefined;
    if (running !== undefined || stop.signal.aborted) return;
    running = room
      .work(stop.signal)
      .then(() => sweep())
      .catch((error) => log.error({ error }, 'imports and exports could not be carried on; it is tried again'))
      .finally(() => {
        running = undefined;
        if (!stop.signal.aborted) cancel = clock.after(isAsked ? 0 : limits.registryJobLookMs, look);
      });
  };
  const unwatch = room.watch(look);
  cancel = clock.after(0, look);
  return async () => {
    stop.abort();
    unwatch();
    cancel();
    await running;
  };
}
