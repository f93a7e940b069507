import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import type { Random } from '../../base/random.ts';
import type { Configurations } from '../../core/configurations/room.ts';
import { HubError } from '../../core/errors.ts';
import { createEvents } from '../../core/events/events.ts';
import { createHub, type Hub } from '../../core/hub.ts';
import type { HubState } from '../../core/hub-state.ts';
import { createGuard, guardedElsewhere } from '../../core/identity/guard.ts';
import { hostNames } from '../../core/identity/host-names.ts';
import { IdentityCache } from '../../core/identity/identity-cache.ts';
import type { AuthorityStore, IdentityStore } from '../../core/identity/ports.ts';
import { Trust } from '../../core/identity/trust.ts';
import type { Jobs } from '../../core/jobs/room.ts';
import type { Methods } from '../../core/methods/room.ts';
import { refusalAudit } from '../../core/monitoring/refused-operations.ts';
import { type Recorder, silentRecorder } from '../../core/monitoring/types.ts';
import type { Queries } from '../../core/query/room.ts';
import { createRefusalDelays } from '../../core/throttling/slow-refusals.ts';
import { createThrottling, shareOf } from '../../core/throttling/throttling.ts';
import type { Twins } from '../../core/twins/room.ts';
import { readTrace, recordCodec } from '../../records/record-codec.ts';
import type { ThreadLink } from './calls.ts';
import { serveHearing, storeStandIn } from './change-feed.ts';
import { commandsStandIn } from './commands.ts';
import { eventLogStandIn } from './event-log-stand-in.ts';
import { filesStandIn } from './files.ts';
import { furtherLogsStandIn } from './further-logs.ts';
import { historyStandIn } from './history.ts';
import { type HubStart, MONITORED } from './hub-host.ts';
import { inTurns } from './in-turns.ts';
import { presenceStandIn } from './presence.ts';
import { receiversStandIn } from './receivers.ts';
import { refusalDelaysStandIn } from './refusal-delays.ts';
import { routesStandIn } from './routes.ts';
import {
  authorityCalls,
  consumerGroupCalls,
  identityCalls,
  methodCalls,
  subscriptionCalls,
  twinCalls,
} from './store-calls.ts';

export interface StandInHub {
  readonly hub: Hub;
  /** Resolves when nothing that this thread has taken waits for the journal any more. */
  settled(): Promise<void>;
}

/**
 * The hub as doors of a listener thread see it: rooms with state are in the main thread; events are encoded and
 * batched, and peers authenticated, here.
 * @param threads how many share the bounds of the hub
 */
export function hubStandIn(
  link: ThreadLink,
  start: HubStart,
  { clock, random, log, threads }: { clock: Clock; random: Random; log: Log; threads: number },
): StandInHub {
  const bounds = {
    writerBytesMax: Math.max(limits.threadWriterBytesMin, Math.floor(limits.writerBytesMax / threads)),
    batchBytesMax: Math.max(limits.threadWriterBytesMin, Math.floor(limits.batchBytesMax / threads)),
  };
  const logs = start.logs.map((each) => eventLogStandIn(link, each, log, bounds));
  const [telemetry, monitoring] = logs;
  const isSettled = (): boolean => logs.every((each) => each.isSettled());
  const settled = async (): Promise<void> => {
    await Promise.all(logs.map((each) => each.settled()));
  };

  const recorder: Recorder = start.isMonitored ? { record: (report) => link.tell(MONITORED, report) } : silentRecorder;
  const guard = createGuard(clock, refusalAudit(recorder));
  const events = createEvents({
    guard,
    telemetry,
    monitoring,
    further: furtherLogsStandIn(link, log, bounds),
    consumerGroups: link.remote('consumerGroups', consumerGroupCalls),
    receivers: receiversStandIn(link),
    codec: recordCodec,
    ...(start.historyGroups.length > 0 && {
      history: { groups: start.historyGroups, log: historyStandIn(link, telemetry) },
    }),
    routing: routesStandIn(link, start.routes, clock),
    clock,
    throttling: createThrottling(shareOf(start.throttle, threads), clock),
    limits: start.eventLimits,
  });
  const identities: IdentityStore = storeStandIn(link, 'identities', identityCalls);
  const authorities: AuthorityStore = storeStandIn(link, 'authorities', authorityCalls);
  serveHearing(link);
  const state: HubState = {
    cache: new IdentityCache(identities, start.limits.identityCacheMax),
    trust: new Trust(authorities),
    presence: presenceStandIn(link, { clock, log, isSettled, settled }),
    commands: commandsStandIn(link, guard),
    files: filesStandIn(link, guard),
    twins: guardedElsewhere<Twins>(inTurns(guard, link.remote<Twins>('twins', twinCalls), keysOf(twinCalls))),
    methods: guardedElsewhere<Methods>(link.remote('methods', methodCalls)),
    // Asked for at the HTTPS port, which the main thread has.
    queries: guardedElsewhere<Queries>({ page: notHere, explain: notHere, live: notHere }),
    jobs: guardedElsewhere<Jobs>({ create: notHere, get: notHere, cancel: notHere, list: notHere }),
    configurations: guardedElsewhere<Configurations>({
      ...{ get: notHere, list: notHere, put: notHere, delete: notHere, test: notHere, apply: notHere },
    }),
  };
  const hub = createHub({
    name: start.name,
    hostNames: hostNames(start.name, start.hostNames),
    identities,
    authorities,
    policies: start.policies,
    subscriptions: link.remote('subscriptions', subscriptionCalls),
    guard,
    events,
    state,
    // Not asked where refusals are never late.
    refusalDelays: start.refusalDelayMsMax === 0 ? createRefusalDelays(clock, 0) : refusalDelaysStandIn(link),
    recorder,
    tracing: start.tracing && { ...start.tracing, traceOf: readTrace },
    limits: start.limits,
    clock,
    random,
    log,
  });
  return { hub, settled };
}

const notHere = (): Promise<never> => Promise.reject(new HubError('OperationNotAvailable'));
const keysOf = <Service extends object>(calls: Service) => Object.keys(calls) as (keyof Service)[];
