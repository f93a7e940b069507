import type { EventsParts } from '../../core/events/events.ts';
import type { ConsumerGroupStore } from '../../core/events/ports.ts';
import type { WholeHub } from '../../core/hub.ts';
import type { HubLimits } from '../../core/hub-state.ts';
import type { AuthorityStore, IdentityStore } from '../../core/identity/ports.ts';
import type { Policy } from '../../core/identity/types.ts';
import type { TraceWishes } from '../../core/monitoring/traced-events.ts';
import { type MonitoringReport, type Recorder, silentRecorder } from '../../core/monitoring/types.ts';
import type { SubscriptionStore } from '../../core/presence/ports.ts';
import { noRoutes, type RouteSet } from '../../core/routes/types.ts';
import type { RefusalDelays } from '../../core/throttling/slow-refusals.ts';
import type { ThrottleLimits } from '../../core/throttling/throttling.ts';
import type { ThreadLink } from './calls.ts';
import type { ChangeFeed } from './change-feed.ts';
import { serveCommands } from './commands.ts';
import type { EventLogHost, LogStart } from './event-log-host.ts';
import { serveFiles } from './files.ts';
import type { FurtherLogs } from './further-logs.ts';
import { serveHistory } from './history.ts';
import { servePresence } from './presence.ts';
import { receiverPlacesOf, serveReceivers } from './receivers.ts';
import { serveRefusalDelays } from './refusal-delays.ts';
import { type SharedRoutes, sentRoutes, serveRoutes } from './routes.ts';

/** What the main thread's hub is made of, as far as listener threads need it. */
export interface HubHostParts {
  readonly hub: WholeHub;
  readonly subscriptions: SubscriptionStore;
  readonly policies: readonly Policy[];
  /** Those that tell (`ChangeFeed.telling`). */
  readonly identities: IdentityStore;
  readonly authorities: AuthorityStore;
  readonly consumerGroups: ConsumerGroupStore;
  readonly feed: ChangeFeed;
  /** Telemetry, then monitoring. */
  readonly logs: readonly EventLogHost[];
  /** Absent = there are no other event hubs. */
  readonly further?: FurtherLogs;
  readonly limits: HubLimits;
  readonly eventLimits: EventsParts['limits'];
  readonly history?: EventsParts['history'];
  readonly throttle: ThrottleLimits;
  /** Absent = everything is in the built-in event hub. */
  readonly routes?: SharedRoutes;
  /** The hub's own, and the longest of them; 0 = none is asked for. */
  readonly refusalDelays: RefusalDelays;
  readonly refusalDelayMsMax: number;
  /** Hears what threads refuse; `silentRecorder` = nobody listens. */
  readonly recorder: Recorder;
  /** Messages that threads follow; undefined = none. */
  readonly tracing: TraceWishes | undefined;
}

/** What a listener thread is told of the hub at its start; it holds the policies' keys. */
export interface HubStart {
  readonly name: string;
  readonly hostNames: readonly string[];
  readonly policies: readonly Policy[];
  readonly logs: readonly LogStart[];
  readonly limits: HubLimits;
  readonly eventLimits: EventsParts['limits'];
  /** Consumer groups that have history. */
  readonly historyGroups: readonly string[];
  readonly throttle: ThrottleLimits;
  /** Without secrets. */
  readonly routes: RouteSet;
  readonly refusalDelayMsMax: number;
  readonly isMonitored: boolean;
  readonly tracing: TraceWishes | undefined;
}

export function hubStart({
  hub,
  policies,
  logs,
  limits,
  eventLimits,
  history,
  throttle,
  routes,
  refusalDelayMsMax,
  recorder,
  tracing,
}: HubHostParts): HubStart {
  return {
    name: hub.name,
    hostNames: hub.hostNames.all,
    policies,
    logs: logs.map((log) => log.start()),
    limits,
    eventLimits,
    historyGroups: history?.groups ?? [],
    throttle,
    routes: sentRoutes(routes?.current() ?? noRoutes),
    refusalDelayMsMax,
    isMonitored: recorder !== silentRecorder,
    tracing: tracing && { devices: tracing.devices, sample: tracing.sample },
  };
}

/** The note by which a thread tells what it has seen. */
export const MONITORED = 'monitored';

/**
 * Serves the whole hub to one thread; the returned function ends it, when the thread has ended.
 * @param member names the thread among all that ever run
 */
export function serveHub(link: ThreadLink, parts: HubHostParts, member: string): () => void {
  const { hub, identities, authorities } = parts;
  link.serve('subscriptions', parts.subscriptions);
  link.serve('twins', hub.twins);
  link.serve('methods', hub.methods);
  link.serve('consumerGroups', parts.consumerGroups);
  serveRefusalDelays(link, parts.refusalDelays);
  if (parts.history !== undefined) serveHistory(link, parts.history.log);
  const ends = [
    parts.feed.serve(link, { identities, authorities }),
    ...parts.logs.map((log) => log.serve(link)),
    parts.further?.serve(link) ?? (() => {}),
    parts.routes === undefined ? () => {} : serveRoutes(link, parts.routes),
    serveReceivers(link, receiverPlacesOf(hub.events)),
    serveCommands(link, hub),
    serveFiles(link, hub.files),
    servePresence(link, hub.presence, member),
  ];
  link.on(MONITORED, (report: MonitoringReport) => parts.recorder.record(report));
  return () => {
    for (const end of ends) end();
  };
}
