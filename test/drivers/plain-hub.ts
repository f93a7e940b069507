/** A hub on memory stores with nothing switched on but what is asked for: one place to follow when a hub gets another part. */

import type { Clock } from '../../src/base/clock.ts';
import type { Log } from '../../src/base/log.ts';
import type { Random } from '../../src/base/random.ts';
import { createArchives } from '../../src/core/archive/archives.ts';
import type { Archives } from '../../src/core/archive/room.ts';
import type { CommandQueue } from '../../src/core/commands/ports.ts';
import { carryConfigurations } from '../../src/core/configurations/carrying.ts';
import type { EventHubs, Events } from '../../src/core/events/room.ts';
import type { FilesRoom } from '../../src/core/files/files.ts';
import { createHub, type HubParts, type WholeHub } from '../../src/core/hub.ts';
import { createHubState, type HubLimits } from '../../src/core/hub-state.ts';
import { createGuard, type Guard, type Guarded } from '../../src/core/identity/guard.ts';
import { hostNames } from '../../src/core/identity/host-names.ts';
import { ensurePolicies } from '../../src/core/identity/policies.ts';
import type { AuthorityStore, IdentityStore } from '../../src/core/identity/ports.ts';
import type { Policy } from '../../src/core/identity/types.ts';
import type { JobRunner } from '../../src/core/jobs/runner.ts';
import { refusalAudit } from '../../src/core/monitoring/refused-operations.ts';
import { type Recorder, silentRecorder } from '../../src/core/monitoring/types.ts';
import { createPresence } from '../../src/core/presence/presence.ts';
import type { RegistryJobsRoom } from '../../src/core/registry-jobs/registry-jobs.ts';
import { createRefusalDelays } from '../../src/core/throttling/slow-refusals.ts';
import { createThrottling } from '../../src/core/throttling/throttling.ts';
import type { TwinStore } from '../../src/core/twins/ports.ts';
import { createHistoryFiles } from '../../src/records/archive/history-files.ts';
import { createMemoryAuthorityStore } from '../../src/stores/memory/authorities.ts';
import { createMemoryCommandQueue } from '../../src/stores/memory/command-queue.ts';
import { createMemoryConfigurationStore } from '../../src/stores/memory/configurations.ts';
import { memoryFiles } from '../../src/stores/memory/files.ts';
import { createMemoryFleetStore } from '../../src/stores/memory/fleet.ts';
import { createMemoryIdentityStore } from '../../src/stores/memory/identities.ts';
import { createMemoryJobStore } from '../../src/stores/memory/jobs.ts';
import { createMemoryPlaces } from '../../src/stores/memory/places.ts';
import { createMemoryPolicyStore } from '../../src/stores/memory/policies.ts';
import { memoryRegistryJobs } from '../../src/stores/memory/registry-jobs-room.ts';
import { createMemoryRoutes } from '../../src/stores/memory/routes.ts';
import { createMemorySubscriptionStore } from '../../src/stores/memory/subscriptions.ts';
import { createMemoryTwinStore } from '../../src/stores/memory/twins.ts';

export interface PlainHubParts {
  readonly name: string;
  /** Beside the hub's own. */
  readonly hosts: readonly string[];
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Absent = nothing here sends or reads events. */
  readonly events?: (guard: Guard) => Guarded<Events & EventHubs>;
  readonly identities?: IdentityStore;
  readonly authorities?: AuthorityStore;
  readonly commandQueue?: CommandQueue;
  /** Of other identities than the ones made here: must be given with them. */
  readonly twins?: TwinStore;
  readonly recorder?: Recorder;
  readonly tracing?: HubParts['tracing'];
  readonly limits?: HubLimits;
}

export interface PlainHub {
  readonly hub: WholeHub;
  readonly policies: readonly Policy[];
  /** On memory. */
  readonly files: FilesRoom;
  readonly registryJobs: RegistryJobsRoom;
  readonly archives: Guarded<Archives>;
  /** Not started. */
  readonly jobRunner: JobRunner;
}

export async function openPlainHub(parts: PlainHubParts): Promise<PlainHub> {
  const { name, clock, random, log, recorder = silentRecorder, tracing, limits = {} } = parts;
  const memory = createMemoryIdentityStore();
  const identities = parts.identities ?? memory;
  const authorities = parts.authorities ?? createMemoryAuthorityStore();
  const policies = await ensurePolicies(createMemoryPolicyStore(), {}, random);
  const subscriptions = createMemorySubscriptionStore();
  const guard = createGuard(clock, refusalAudit(recorder));
  const common = { guard, identities, authorities, subscriptions, recorder, limits, clock, random, log };
  const ownTwins = createMemoryTwinStore(memory);
  const twins = parts.twins ?? ownTwins;
  const jobs = createMemoryJobStore({ change: twins.change, keepEvent: ownTwins.keepEvent });
  const configurations = createMemoryConfigurationStore(memory, ownTwins);
  const files = memoryFiles(guard, identities, clock, random);
  const state = createHubState({
    ...common,
    commandQueue: parts.commandQueue ?? createMemoryCommandQueue(memory),
    twins,
    configurations,
    jobs,
    fleet: (live) => createMemoryFleetStore(identities, twins, live, jobs),
    files,
    presence: createPresence({ places: createMemoryPlaces(), clock, log }),
    throttling: createThrottling({}, clock),
    commandFollower: undefined,
  });
  const bounds = { devicesMax: 1_000_000, modulesPerDeviceMax: 50, ...limits };
  // Over the stores in memory; it has no timer while there is nothing to do.
  carryConfigurations({
    ...{ store: configurations, identities, clock, random, log, withEvents: false },
    modulesPerDeviceMax: bounds.modulesPerDeviceMax,
    notApplied: () => {},
  });
  const hub = createHub({
    ...common,
    name,
    hostNames: hostNames(name, parts.hosts),
    policies,
    events: parts.events?.(guard) ?? ({} as Guarded<Events & EventHubs>),
    state,
    refusalDelays: createRefusalDelays(clock, 0),
    tracing,
  });
  const registryJobs = memoryRegistryJobs({
    guard,
    identities,
    twins,
    files,
    limits: bounds,
    recorder,
    clock,
    random,
    log,
  });
  const archives = createArchives({
    guard,
    known: () => [],
    cursors: createMemoryRoutes().cursors,
    log: {
      partitionCount: 1,
      partition: async (partition) => ({ partition, firstSequence: 0, lastSequence: -1, lastTime: 0 }),
    },
    files: createHistoryFiles(),
  });
  return { hub, policies, files, registryJobs, archives, jobRunner: state.jobRunner };
}
