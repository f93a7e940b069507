/**
 * What a hub keeps once, however many threads serve it: who is connected, the commands, and what crosses two rooms. The
 * process that owns the stores makes it with `createHubState`; a listener thread has stand-ins for it.
 */
import type { Clock } from '../base/clock.ts';
import { limits } from '../base/limits.ts';
import type { Log } from '../base/log.ts';
import { numberedUuids, type Random } from '../base/random.ts';
import { createCommands } from './commands/commands.ts';
import type { CommandQueue } from './commands/ports.ts';
import type { CommandKeeping, Commands } from './commands/room.ts';
import { defaultCommandLimits } from './commands/rules.ts';
import type { CommandLimits } from './commands/types.ts';
import { createConfigurations } from './configurations/configurations.ts';
import type { ConfigurationStore } from './configurations/ports.ts';
import type { Configurations } from './configurations/room.ts';
import type { FilesRoom } from './files/files.ts';
import type { Files } from './files/room.ts';
import { stillStand } from './identity/credentials.ts';
import type { Guard, Guarded } from './identity/guard.ts';
import { IdentityCache, type KnownIdentity } from './identity/identity-cache.ts';
import { identityName } from './identity/permissions.ts';
import type { AuthorityStore, IdentityChange, IdentityStore } from './identity/ports.ts';
import type { RegistryLimits } from './identity/registry-writes.ts';
import { Trust } from './identity/trust.ts';
import type { IdentityAuthentication, IdentityKey, PresenceState, Principal } from './identity/types.ts';
import { createJobs } from './jobs/jobs.ts';
import type { JobStore } from './jobs/ports.ts';
import type { Jobs } from './jobs/room.ts';
import { createJobRunner, type JobRunner } from './jobs/runner.ts';
import { createMethods, type MethodTotals } from './methods/methods.ts';
import type { Methods } from './methods/room.ts';
import { checkMethod } from './methods/rules.ts';
import { type CommandFollower, followedCommands } from './monitoring/followed-commands.ts';
import type { Recorder } from './monitoring/types.ts';
import { connectionReports, reportEndedCommands, reportIdentityChange } from './monitoring/watched-rooms.ts';
import type { Presence, SubscriptionStore, WatchedPresence } from './presence/ports.ts';
import type { ConnectionClaim, DisconnectReason } from './presence/types.ts';
import { conditionLanguage } from './query/kept-conditions.ts';
import { LiveQueries, type LiveTotals } from './query/live-queries.ts';
import type { FleetStore } from './query/ports.ts';
import { createQueries } from './query/queries.ts';
import type { Queries } from './query/room.ts';
import { RowChanges } from './query/row-changes.ts';
import { RowTeller } from './query/row-teller.ts';
import type { RowsElsewhere } from './query/rows-elsewhere.ts';
import { parseTarget } from './query/statement.ts';
import { targetsOf } from './query/targets.ts';
import type { Throttling } from './throttling/throttling.ts';
import { checkedRequest } from './twins/content.ts';
import type { TwinStore } from './twins/ports.ts';
import type { Twins } from './twins/room.ts';
import { createTwins, type ReportTotals } from './twins/twins.ts';
import { DESIRED } from './twins/types.ts';

export interface HubState {
  readonly cache: IdentityCache;
  readonly trust: Trust;
  readonly presence: Presence;
  readonly commands: Guarded<Commands & CommandKeeping>;
  readonly files: Guarded<Files>;
  readonly twins: Guarded<Twins>;
  readonly methods: Guarded<Methods>;
  readonly queries: Guarded<Queries>;
  readonly jobs: Guarded<Jobs>;
  readonly configurations: Guarded<Configurations>;
}

/** What changes too often to be in every store of the fleet: a store that does not hold it asks. */
export interface LiveStates {
  state(key: IdentityKey): Promise<PresenceState>;
  commandDepths(keys: readonly IdentityKey[]): Promise<readonly number[]>;
}

/** Absent = the default of `base/limits.ts`. */
export interface HubLimits extends Partial<RegistryLimits> {
  readonly clockSkewMs?: number;
  /** How long a token may last from now on; absent = as long as it says. */
  readonly tokenLifeMsMax?: number;
  readonly identityCacheMax?: number;
  readonly commands?: Partial<CommandLimits>;
  readonly commandBytesMax?: number;
}

/** With what is counted where it happens: a listener thread has none of it. */
export interface OwnHubState extends HubState {
  readonly totals: { readonly reports: ReportTotals; readonly methods: MethodTotals; live(): LiveTotals };
  /** The hub stops: answers who waits for a device to connect. */
  closeMethods(): void;
  /** Tells other nodes which rows this one has changed. */
  readonly rowTeller: RowTeller;
  /** Carries jobs on, once it is started. */
  readonly jobRunner: JobRunner;
  /**
   * Rows may have changed without a word: identities and authorities are asked for again, and who follows queries, here and at other
   * nodes, is to look at all again.
   */
  rowsMissed(): void;
  /** The hub stops: ends what clients follow. */
  closeLive(): void;
}

export interface HubStateParts {
  readonly guard: Guard;
  readonly identities: IdentityStore;
  readonly authorities: AuthorityStore;
  readonly subscriptions: SubscriptionStore;
  readonly commandQueue: CommandQueue;
  readonly files: FilesRoom;
  readonly twins: TwinStore;
  readonly jobs: JobStore;
  /** Names this process among those that carry jobs of the same store on (`processOf`); absent = it is the only one. */
  readonly node?: string;
  /** Whether this process may carry them on now; absent = always. */
  readonly mayWork?: () => boolean;
  /** Whether what became of devices in jobs is kept as events; absent = no. */
  readonly jobEvents?: boolean;
  readonly configurations: ConfigurationStore;
  /** Whether changes of twins are kept as events; absent = no. */
  readonly twinEvents?: boolean;
  readonly fleet: (live: LiveStates) => FleetStore;
  /** As `QueriesParts.settlePresence`, of this node. */
  readonly settlePresence?: () => Promise<void>;
  /** Absent = the hub is this node. */
  readonly rowsElsewhere?: RowsElsewhere;
  /** Where connections have their places. */
  readonly presence: WatchedPresence;
  /** How often identities may connect. */
  readonly throttling: Pick<Throttling, 'admitConnection'>;
  readonly recorder: Recorder;
  /** Hears what becomes of commands; undefined = none is followed. */
  readonly commandFollower: CommandFollower | undefined;
  readonly limits: HubLimits;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/**
 * Wires what crosses two rooms: a device that is disabled, deleted or recreated loses its connection at once, and one that is
 * deleted leaves no session behind.
 */
export function createHubState(parts: HubStateParts): OwnHubState {
  const { guard, identities, authorities, commandQueue, recorder, commandFollower, clock, random, log } = parts;
  const cache = new IdentityCache(identities, parts.limits.identityCacheMax);
  const trust = new Trust(authorities);
  parts.presence.watch(connectionReports(recorder, numberedUuids(random)));
  parts.presence.watch({ connected: ({ key }) => hasConnected(key), disconnected: () => {} });
  const presence = admittedPresence(parts.presence, parts, cache, trust);
  const commands = createCommands({
    guard,
    queue: commandQueue,
    identities: { get: (key) => cache.load(key) },
    limits: { ...defaultCommandLimits, ...parts.limits.commands },
    commandBytesMax: parts.limits.commandBytesMax ?? limits.commandBytesMax,
    clock,
    random,
    wake: (target) => {
      presence.wake(target).catch((error) => log.error({ identity: identityName(target), error }, 'not woken'));
    },
  });
  const methods = createMethods({
    ...{ guard, identities: { get: (key) => cache.load(key) }, presence, clock },
    // Who connects at another node is told to that one.
    ...(parts.node !== undefined && { arrivalLookMs: limits.methodArrivalLookMs }),
  });
  const twins = createTwins({
    ...{ guard, store: parts.twins, identities, presence, clock },
    commandDepths: commands.depths,
    withEvents: parts.twinEvents ?? false,
  });
  const fleet = parts.fleet({ state: (key) => presence.state(key), commandDepths: commands.depths });
  const { settlePresence = async () => {}, rowsElsewhere } = parts;
  const settleEverywhere = async (): Promise<void> => {
    await Promise.all([settlePresence(), rowsElsewhere?.settle()]);
  };
  const asked = { fleet, settlePresence: settleEverywhere };
  const changes = new RowChanges({ identities, twins: parts.twins, presence: parts.presence });
  const live = new LiveQueries({
    ...{ matcher: fleet.matcher, changes, settlePresence, settleEverywhere, clock, random, log },
    ...(rowsElsewhere && { elsewhere: rowsElsewhere }),
  });
  const rowTeller = new RowTeller({ changes, settlePresence, clock });
  const queries = createQueries({ guard, live, ...asked });
  const jobRunner = createJobRunner({
    ...{ store: parts.jobs, node: parts.node ?? '', recorder, clock, log },
    ...(parts.mayWork && { mayWork: parts.mayWork }),
    withTwinEvents: parts.twinEvents ?? false,
    withJobEvents: parts.jobEvents ?? false,
    select: (condition, place, signal) =>
      targetsOf(asked, { condition, place, countMax: limits.jobSelectRows }, signal),
    invoke: (key, request, signal) => methods.methods.invoke(jobPrincipal, key, request, signal),
    isConnected: async (key) => (await presence.state(key)).connected,
  });
  const hasConnected = (key: IdentityKey): void => {
    methods.connected(key);
    jobRunner.connected(key);
  };
  const jobs = createJobs({
    ...{ guard, store: parts.jobs, checkMethod, recorder, clock },
    checkCondition: (condition) => void parseTarget(condition),
    wake: () => jobRunner.wake(),
  });
  const configurations = createConfigurations({
    ...{ guard, store: parts.configurations, identities, twins: parts.twins, clock, random },
    withEvents: parts.twinEvents ?? false,
    modulesPerDeviceMax: parts.limits.modulesPerDeviceMax ?? limits.modulesPerDeviceMax,
    language: conditionLanguage,
    checkSection: checkedRequest,
  });
  parts.twins.watchOwnWrites(({ key, generationId, version }) => {
    presence.notify(key, { kind: DESIRED, value: { generationId, version } }).catch((error) => {
      log.error({ identity: identityName(key), error }, 'not told of its desired properties');
    });
  });
  reportEndedCommands(commandQueue, recorder);
  authorities.watchOwnWrites(({ kind, authority: { name, thumbprint } }) => {
    if (kind !== 'deleted') return;
    presence
      .dropAuthority(thumbprint, 'authority-removed')
      .catch((error) => log.error({ authority: name, error }, 'its devices are not cut off'));
  });
  identities.watchOwnWrites((change) => {
    if (change.isElsewhere !== true) reportIdentityChange(change, recorder);
    applyChange(change, { ...parts, presence });
  });
  return {
    cache,
    trust,
    presence,
    commands: commandFollower === undefined ? commands : followedCommands(commands, commandFollower, clock),
    files: parts.files.files,
    twins: twins.twins,
    methods: methods.methods,
    queries,
    jobs,
    jobRunner,
    rowTeller,
    configurations,
    totals: { reports: twins.totals, methods: methods.totals, live: () => live.totals },
    closeMethods: () => methods.close(),
    rowsMissed: () => {
      cache.forgetAll();
      trust.forgetAll();
      live.missed();
      rowTeller.forget();
    },
    closeLive: () => live.close(),
  };
}

/** In whose name devices of jobs are asked: the job was allowed when it was taken. */
const jobPrincipal: Principal = {
  kind: 'policy',
  policyName: 'job',
  permissions: new Set(['ServiceConnect']),
  scope: [],
  expiresAt: Number.POSITIVE_INFINITY,
};

/** What other rooms do when an identity changes. Synchronous up to the drop: nothing slips in between. */
function applyChange(
  { kind, identity, isElsewhere }: IdentityChange,
  {
    presence,
    subscriptions,
    commandQueue,
    files,
    log,
  }: Pick<HubStateParts, 'subscriptions' | 'commandQueue' | 'files' | 'log'> & { readonly presence: Presence },
): void {
  const { deviceId, moduleId } = identity;
  const key = moduleId === undefined ? { deviceId } : { deviceId, moduleId };
  const failed = (error: unknown): void =>
    log.error({ identity: identityName(key), error }, `${kind}: not carried out`);
  // A connection under an id that has just been created is its former bearer's.
  if (kind !== 'replaced') presence.drop(key, 'deleted').catch(failed);
  else if (identity.status === 'disabled') presence.drop(key, 'disabled').catch(failed);
  else
    presence.drop(key, 'credentials-changed', (claim) => hasCredentials(claim, identity.authentication)).catch(failed);
  // Sessions and commands belong to one generation: what a failure here leaves behind is never handed to the next.
  if (kind === 'deleted' && isElsewhere !== true) {
    subscriptions.remove(key).catch(failed);
    commandQueue.forget(key).catch(failed);
    files.forget(key).catch(failed);
  }
}

/**
 * Between authentication and claim an identity may be disabled, deleted or re-created, and its authority removed, when there was no connection
 * yet to drop. So a claim looks again, in the same step in which it takes its place: any later change meets it there.
 */
function admittedPresence(
  presence: Presence,
  { throttling }: Pick<HubStateParts, 'throttling'>,
  cache: IdentityCache,
  trust: Trust,
): Presence {
  const loaded = async (key: IdentityKey) => {
    const then = await cache.load(key);
    return {
      isHere: () => cache.peek(key) !== undefined,
      now(): KnownIdentity | undefined {
        const current = cache.peek(key);
        return current === undefined ? then : (current ?? undefined);
      },
    };
  };
  return {
    ...presence,
    async claim(claim) {
      throttling.admitConnection(claim.key);
      const { deviceId, moduleId } = claim.key;
      for (let attempt = 1; ; attempt++) {
        const identity = await loaded(claim.key);
        const device = moduleId === undefined ? identity : await loaded({ deviceId });
        // Another thread of the hub may have judged the chain.
        if (claim.authority !== undefined) await trust.ready();
        // Another node has changed it meanwhile. Where a full cache gives it up each time, the last answer counts.
        if (attempt < CLAIM_LOADS_MAX && !(identity.isHere() && device.isHere())) continue;
        const objection = objectionTo(claim, identity.now(), device.now(), trust);
        if (objection === undefined) return presence.claim(claim);
        claim.drop(objection);
        return { release: () => {}, touch: () => {} };
      }
    },
  };
}

const CLAIM_LOADS_MAX = 3;

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
