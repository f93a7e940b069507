import type { Clock } from '../base/clock.ts';
import { limits } from '../base/limits.ts';
import type { Log } from '../base/log.ts';
import { numberedUuids, type Random } from '../base/random.ts';
import { type Commands, createCommands } from './commands/commands.ts';
import type { CommandQueue } from './commands/ports.ts';
import { defaultCommandLimits } from './commands/rules.ts';
import type { CommandLimits } from './commands/types.ts';
import type { Events } from './events/events.ts';
import type { TraceReader } from './events/ports.ts';
import { type Authentication, createAuthentication } from './identity/authentication.ts';
import { type Authorities, createAuthorities } from './identity/authorities.ts';
import { stillStand } from './identity/credentials.ts';
import type { Guard, Guarded } from './identity/guard.ts';
import type { HostNames } from './identity/host-names.ts';
import { IdentityCache, type KnownIdentity } from './identity/identity-cache.ts';
import { identityName } from './identity/permissions.ts';
import type { AuthorityStore, IdentityChange, IdentityStore } from './identity/ports.ts';
import { createRegistry, type Registry } from './identity/registry.ts';
import type { RegistryLimits } from './identity/registry-writes.ts';
import { Trust } from './identity/trust.ts';
import type { IdentityAuthentication, IdentityKey, Policy } from './identity/types.ts';
import { type CommandFollower, followedCommands } from './monitoring/followed-commands.ts';
import { type TraceWishes, tracedEvents } from './monitoring/traced-events.ts';
import { type Recorder, silentRecorder } from './monitoring/types.ts';
import { watchedAuthentication } from './monitoring/watched-authentication.ts';
import { type ConnectionWatcher, watchedPresence } from './monitoring/watched-presence.ts';
import {
  connectionReports,
  reportEndedCommands,
  reportIdentityChange,
  watchedSlowing,
} from './monitoring/watched-rooms.ts';
import type { Presence, PresenceTicket, SubscriptionStore } from './presence/ports.ts';
import { createPresence } from './presence/presence.ts';
import type { ConnectionClaim, DisconnectReason } from './presence/types.ts';
import { createRefusalDelays, type RefusalDelays, slowRefusals } from './throttling/slow-refusals.ts';
import type { Throttling } from './throttling/throttling.ts';

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
  readonly presence: Presence;
  readonly subscriptions: SubscriptionStore;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

export interface HubParts {
  readonly name: string;
  readonly hostNames: HostNames;
  readonly identities: IdentityStore;
  readonly authorities: AuthorityStore;
  /** As `ensurePolicies` answered them. */
  readonly policies: readonly Policy[];
  readonly subscriptions: SubscriptionStore;
  /** The one that `events` stand behind; it tells `recorder`. */
  readonly guard: Guard;
  readonly events: Guarded<Events>;
  readonly commandQueue: CommandQueue;
  /** Absent = identities connect as often as they like. The events' own part has the rest of it. */
  readonly throttling?: Pick<Throttling, 'admitConnection'>;
  /** Absent = counted here, with `limits.refusalDelayMsMax`. */
  readonly refusalDelays?: RefusalDelays;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Hears of everything that happens between devices and the hub; absent = nobody listens, nothing is wrapped. */
  readonly recorder?: Recorder;
  /** Which messages are followed, told to `recorder`; absent = none, nothing is wrapped. */
  readonly tracing?: TraceWishes & { readonly traceOf: TraceReader };
  /** Hears what becomes of commands; absent = nobody does, nothing is wrapped. */
  readonly commandFollower?: CommandFollower;
  /** Presence as the registry keeps it; absent = it is forgotten when the hub ends. */
  readonly keepPresence?: (presence: Presence) => { readonly presence: Presence; readonly watcher: ConnectionWatcher };
  readonly limits?: Partial<RegistryLimits> & {
    readonly clockSkewMs?: number;
    /** How long a token may last from now on; absent = as long as it says. */
    readonly tokenLifeMsMax?: number;
    /** Longest wait before repeated failures of authentication are answered; default: none. */
    readonly refusalDelayMsMax?: number;
    readonly identityCacheMax?: number;
    readonly commands?: Partial<CommandLimits>;
    readonly commandBytesMax?: number;
  };
}

/**
 * Puts the rooms together, and wires what crosses two of them: whoever is disabled, deleted or created anew loses the
 * connection at once, and whoever is deleted leaves no session behind.
 */
export function createHub(parts: HubParts): Hub {
  const { clock, random, log } = parts;
  const cache = new IdentityCache(parts.identities, parts.limits?.identityCacheMax);
  const trust = new Trust(parts.authorities);
  const recorder = parts.recorder ?? silentRecorder;
  const kept = parts.keepPresence?.(createPresence({ clock, log }));
  const watchers = [...(kept ? [kept.watcher] : []), ...(parts.recorder ? [connectionReports(recorder)] : [])];
  const places = watchedPresence(kept?.presence ?? createPresence({ clock, log }), watchers, numberedUuids(random));
  const presence = admittedPresence(places, parts, cache, trust);
  const { guard, commandFollower } = parts;
  const ownCommands = createCommands({
    guard,
    queue: parts.commandQueue,
    identities: { get: (key) => cache.load(key) },
    limits: { ...defaultCommandLimits, ...parts.limits?.commands },
    commandBytesMax: parts.limits?.commandBytesMax ?? limits.commandBytesMax,
    clock,
    random,
    wake: (target) => {
      presence.wake(target).catch((error) => log.error({ identity: identityName(target), error }, 'not woken'));
    },
  });
  const commands = commandFollower ? followedCommands(ownCommands, commandFollower, clock) : ownCommands;
  if (parts.recorder !== undefined) reportEndedCommands(parts.commandQueue, parts.recorder);
  parts.authorities.watch(({ kind, authority: { name, thumbprint } }) => {
    if (kind !== 'deleted') return;
    presence
      .dropAuthority(thumbprint, 'authority-removed')
      .catch((error) => log.error({ authority: name, error }, 'its devices are not cut off'));
  });
  parts.identities.watch((change) => {
    reportIdentityChange(change, recorder);
    applyChange(change, { ...parts, presence });
  });
  return hubOf(parts, { cache, trust, presence, commands });
}

/** Rooms that keep state for a whole hub, and what a thread of it knows by itself. */
export interface Rooms {
  readonly cache: IdentityCache;
  readonly trust: Trust;
  readonly presence: Presence;
  readonly commands: Guarded<Commands>;
}

/** The waist over rooms that are there already: what crosses two of them is carried out by whoever made them. */
export function hubOf(parts: Omit<HubParts, 'commandQueue'>, { cache, trust, presence, commands }: Rooms): Hub {
  const { clock, random, log, guard, subscriptions } = parts;
  return {
    name: parts.name,
    hostNames: parts.hostNames,
    authentication: slowRefusals(
      heard(
        parts.recorder,
        watchedAuthentication,
        createAuthentication({
          identities: cache,
          trust,
          policies: parts.policies,
          hostNames: parts.hostNames,
          clock,
          clockSkewMs: parts.limits?.clockSkewMs,
          tokenLifeMsMax: parts.limits?.tokenLifeMsMax,
        }),
      ),
      clock,
      parts.refusalDelays ?? createRefusalDelays(clock, parts.limits?.refusalDelayMsMax ?? 0),
      (peer) => parts.recorder?.record({ type: 'authenticationFailed', check: 'not-judged', peer }),
    ),
    guard,
    registry: createRegistry({
      guard,
      store: parts.identities,
      clock,
      random,
      presence,
      commandDepths: commands.depths,
      limits: parts.limits,
    }),
    authorities: createAuthorities({ guard, store: parts.authorities, clock, random }),
    events: heard(parts.recorder, (events, recorder) => watchedSlowing(events, recorder, clock), followed(parts)),
    commands,
    presence,
    subscriptions,
    clock,
    random,
    log,
  };
}

/** The events of a hub some of whose messages are traced; else as they are. */
function followed({
  recorder,
  tracing,
  events,
  name,
  clock,
  random,
}: Pick<HubParts, 'recorder' | 'tracing' | 'events' | 'name' | 'clock' | 'random'>): Guarded<Events> {
  if (recorder === undefined || tracing === undefined) return events;
  return tracedEvents(events, { ...tracing, eventHub: name, recorder, clock, random });
}

/** The room as it is where nobody listens. */
function heard<Room>(
  recorder: Recorder | undefined,
  watch: (room: Room, recorder: Recorder) => Room,
  room: Room,
): Room {
  return recorder === undefined ? room : watch(room, recorder);
}

/** What other rooms do when an identity changes. Synchronous up to the drop: nothing slips in between. */
function applyChange(
  { kind, identity }: IdentityChange,
  {
    presence,
    subscriptions,
    commandQueue,
    log,
  }: Pick<HubParts, 'subscriptions' | 'commandQueue' | 'log'> & { readonly presence: Presence },
): void {
  const { deviceId, moduleId } = identity;
  const key = moduleId === undefined ? { deviceId } : { deviceId, moduleId };
  const failed = (error: unknown): void =>
    log.error({ identity: identityName(key), error }, `${kind}: not carried out`);
  // Whoever is connected under an id that has just been created is its former bearer.
  if (kind !== 'replaced') presence.drop(key, 'deleted').catch(failed);
  else if (identity.status === 'disabled') presence.drop(key, 'disabled').catch(failed);
  else
    presence.drop(key, 'credentials-changed', (claim) => hasCredentials(claim, identity.authentication)).catch(failed);
  // Sessions and commands belong to one generation: what a failure here leaves behind is never handed to the next.
  if (kind === 'deleted') {
    subscriptions.remove(key).catch(failed);
    commandQueue.forget(key).catch(failed);
  }
}

/**
 * Between authentication and claim an identity may be disabled, deleted or created anew, and its authority removed, when there was no connection
 * yet to drop. So a claim looks again, in the same step in which it takes its place: any later change meets it there.
 */
function admittedPresence(
  presence: Presence,
  { guard, throttling }: Pick<HubParts, 'guard' | 'throttling'>,
  cache: IdentityCache,
  trust: Trust,
): Presence {
  const loader = async (key: IdentityKey): Promise<() => KnownIdentity | undefined> => {
    const loaded = await cache.load(key);
    return () => {
      const current = cache.peek(key);
      return current === undefined ? loaded : (current ?? undefined);
    };
  };
  const admit = async (claim: ConnectionClaim): Promise<PresenceTicket> => {
    throttling?.admitConnection(claim.key);
    const identity = await loader(claim.key);
    const device = claim.key.moduleId === undefined ? identity : await loader({ deviceId: claim.key.deviceId });
    // Another thread of the hub may have judged the chain.
    if (claim.authority !== undefined) await trust.ready();
    const objection = objectionTo(claim, identity(), device(), trust);
    if (objection === undefined) return presence.claim(claim);
    claim.drop(objection);
    return { release: () => {}, touch: () => {} };
  };
  return {
    ...presence,
    async claim(claim) {
      try {
        return await admit(claim);
      } catch (error) {
        const { key, protocol, credential, peer } = claim;
        guard.refused({ operation: 'connect', target: key, where: { protocol, credential, peer } }, error);
        throw error;
      }
    },
  };
}

/** What proved the claim is still the identity's: one of its own credentials, or a policy's key, which it does not change. */
function hasCredentials({ credentials }: ConnectionClaim, authentication: IdentityAuthentication): boolean {
  return credentials === undefined || stillStand(credentials, authentication);
}

function objectionTo(
  claim: ConnectionClaim,
  identity: KnownIdentity | undefined,
  device: KnownIdentity | undefined,
  trust: Trust,
): DisconnectReason | undefined {
  if (identity?.generationId !== claim.generationId || device === undefined) return 'deleted';
  if (device.status === 'disabled') return 'disabled';
  if (!hasCredentials(claim, identity)) return 'credentials-changed';
  return claim.authority === undefined || trust.isTrusted(claim.authority) ? undefined : 'authority-removed';
}
