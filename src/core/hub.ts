import type { Clock } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import type { Random } from '../base/random.ts';
import type { CommandKeeping, Commands } from './commands/room.ts';
import type { Configurations } from './configurations/room.ts';
import type { TraceReader } from './events/ports.ts';
import type { EventHubs, Events } from './events/room.ts';
import type { Files } from './files/room.ts';
import type { HubLimits, HubState } from './hub-state.ts';
import { type Authentication, createAuthentication } from './identity/authentication.ts';
import { type Authorities, createAuthorities } from './identity/authorities.ts';
import type { Guard, Guarded } from './identity/guard.ts';
import type { HostNames } from './identity/host-names.ts';
import type { AuthorityStore, IdentityStore } from './identity/ports.ts';
import { createRegistry } from './identity/registry.ts';
import type { Registry } from './identity/registry-room.ts';
import type { Policy } from './identity/types.ts';
import type { Jobs } from './jobs/room.ts';
import type { Methods } from './methods/room.ts';
import { type TraceWishes, tracedEvents } from './monitoring/traced-events.ts';
import type { Recorder } from './monitoring/types.ts';
import { watchedAuthentication } from './monitoring/watched-authentication.ts';
import { watchedSharedKeys, watchedSlowing } from './monitoring/watched-rooms.ts';
import { type Admission, createAdmission, createSubscriptions, type Subscriptions } from './presence/calls.ts';
import type { Presence, SubscriptionStore } from './presence/ports.ts';
import type { Queries } from './query/room.ts';
import { type RefusalDelays, slowRefusals } from './throttling/slow-refusals.ts';
import type { Twins } from './twins/room.ts';

/** The waist: the one value that doors see. Its rooms stand behind the guard. */
export interface Hub {
  readonly name: string;
  readonly hostNames: HostNames;
  readonly authentication: Authentication;
  /** For what a door answers by itself. */
  readonly guard: Guard;
  readonly registry: Guarded<Registry>;
  readonly authorities: Guarded<Authorities>;
  readonly events: Guarded<Events>;
  readonly commands: Guarded<Commands>;
  readonly files: Guarded<Files>;
  readonly twins: Guarded<Twins>;
  readonly methods: Guarded<Methods>;
  readonly queries: Guarded<Queries>;
  readonly jobs: Guarded<Jobs>;
  readonly configurations: Guarded<Configurations>;
  readonly admission: Guarded<Admission>;
  readonly subscriptions: Guarded<Subscriptions>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** The same for the server itself, with what no client reaches. */
export interface WholeHub extends Hub {
  readonly events: Guarded<Events & EventHubs>;
  readonly commands: Guarded<Commands & CommandKeeping>;
  readonly presence: Presence;
}

export interface HubParts {
  readonly name: string;
  readonly hostNames: HostNames;
  readonly identities: IdentityStore;
  readonly authorities: AuthorityStore;
  /** As `ensurePolicies` answered them. */
  readonly policies: readonly Policy[];
  readonly subscriptions: SubscriptionStore;
  /** The one that `events` and `state` stand behind; it tells `recorder`. */
  readonly guard: Guard;
  readonly events: Guarded<Events & EventHubs>;
  /** The hub's own, or stand-ins for it. */
  readonly state: HubState;
  readonly refusalDelays: RefusalDelays;
  /** Hears of everything that happens between devices and the hub; `silentRecorder` = nobody listens. */
  readonly recorder: Recorder;
  /** Which messages are followed, told to `recorder`; undefined = none. */
  readonly tracing: (TraceWishes & { readonly traceOf: TraceReader }) | undefined;
  readonly limits: HubLimits;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** Puts the rooms together, for the process that owns the state and for its listener threads alike. */
export function createHub(parts: HubParts): WholeHub {
  const { name, hostNames, guard, recorder, tracing, clock, random, log } = parts;
  const { cache, trust, presence, commands, files, twins, methods, queries, jobs, configurations } = parts.state;
  const authentication = createAuthentication({
    identities: cache,
    trust,
    policies: parts.policies,
    hostNames,
    clock,
    clockSkewMs: parts.limits.clockSkewMs,
    tokenLifeMsMax: parts.limits.tokenLifeMsMax,
  });
  const events =
    tracing === undefined
      ? parts.events
      : tracedEvents(parts.events, { ...tracing, eventHub: name, recorder, clock, random });
  return {
    name,
    hostNames,
    authentication: slowRefusals(watchedAuthentication(authentication, recorder), clock, parts.refusalDelays, (peer) =>
      recorder.record({ type: 'authenticationFailed', check: 'not-judged', peer }),
    ),
    guard,
    registry: watchedSharedKeys(
      createRegistry({
        guard,
        store: parts.identities,
        clock,
        random,
        presence,
        commandDepths: commands.depths,
        changeTwin: (...args) => twins.change(...args),
        limits: parts.limits,
      }),
      recorder,
    ),
    authorities: createAuthorities({ guard, store: parts.authorities, clock, random }),
    events: watchedSlowing(events, recorder, clock),
    commands,
    files,
    twins,
    methods,
    queries,
    jobs,
    configurations,
    presence,
    admission: createAdmission(guard, presence),
    subscriptions: createSubscriptions(guard, parts.subscriptions),
    clock,
    random,
    log,
  };
}
