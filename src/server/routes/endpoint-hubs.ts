/** Event hubs of endpoints of the kind `eventHub`: they open and close with the routes in force. */
import type { Cancel, Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import type { EventLog } from '../../core/events/ports.ts';
import type { EventHubEndpoint } from '../../core/routes/endpoints/event-hub.ts';
import type { RouteSet } from '../../core/routes/types.ts';
import type { Shutdown } from '../lifecycle.ts';
import type { OpenRoutes } from './open-routes.ts';

/** What an event hub is to be. */
export interface EventHubWish {
  readonly name: string;
  readonly partitions: number;
  readonly retentionMs: number;
  readonly retentionBytes: number;
}

export interface OpenEventHub<Stored> {
  readonly log: Stored;
  close(): Promise<void>;
}

export interface EndpointHubs<Stored> {
  /** Those that are open. */
  logs(): readonly Stored[];
  /** Opens it, if that has failed before. @throws Error that says why it is not open */
  of(endpoint: EventHubEndpoint): Promise<Stored>;
  /** Calls `listener` after one has opened or closed. The returned function ends it. */
  watch(listener: () => Promise<void> | void): () => void;
}

interface Running<Stored> {
  readonly endpoint: EventHubEndpoint;
  opening: Promise<Stored> | undefined;
  opened: OpenEventHub<Stored> | undefined;
  cancelRetry: Cancel;
}

export async function openEndpointHubs<Stored extends EventLog>(parts: {
  readonly routes: Pick<OpenRoutes, 'current' | 'watch'>;
  /** @throws Error whose message says what to do */
  readonly open: (wish: EventHubWish) => Promise<OpenEventHub<Stored>>;
  /** Names that the hub has for event hubs of its own. */
  readonly reserved: readonly string[];
  readonly clock: Pick<Clock, 'after'>;
  readonly log: Log;
  readonly shutdown: Shutdown;
}): Promise<EndpointHubs<Stored>> {
  const { routes, open, clock, log, shutdown } = parts;
  const reserved = parts.reserved.map((name) => name.toLowerCase());
  const running = new Map<string, Running<Stored>>();
  const listeners = new Set<() => Promise<void> | void>();
  let changing: Promise<void> = Promise.resolve();

  const tell = async (): Promise<void> => {
    const told = await Promise.allSettled([...listeners].map(async (listener) => listener()));
    for (const { reason } of told.filter((each) => each.status === 'rejected')) {
      log.error({ error: reason }, 'a part of the hub could not be told of the event hubs of endpoints');
    }
  };

  const opened = (one: Running<Stored>): Promise<Stored> => {
    one.opening ??= (async () => {
      const { eventHub: name, partitions, retentionHours, retentionBytes } = one.endpoint;
      if (reserved.includes(name.toLowerCase())) {
        throw new Error(`'${name}' is an event hub of the hub's own: give the endpoint another eventHub`);
      }
      one.opened = await open({ name, partitions, retentionMs: retentionHours * 3_600_000, retentionBytes });
      await tell();
      return one.opened.log;
    })().catch((error) => {
      one.opening = undefined;
      throw error;
    });
    return one.opening;
  };

  /** Nobody may deliver to it here, and it is to be read all the same. */
  const openOrRetry = async (one: Running<Stored>): Promise<void> => {
    try {
      await opened(one);
    } catch (error) {
      log.error({ endpoint: one.endpoint.name, error }, 'the event hub of an endpoint could not be opened');
      const isWanted = running.get(keyOf(one.endpoint)) === one;
      if (isWanted) one.cancelRetry = clock.after(limits.endpointHubRetryMs, () => void openOrRetry(one));
    }
  };

  const close = async (one: Running<Stored>): Promise<void> => {
    running.delete(keyOf(one.endpoint));
    one.cancelRetry();
    await one.opening?.catch(() => {});
    await tell();
    await one.opened
      ?.close()
      .catch((error) => log.error({ endpoint: one.endpoint.name, error }, 'an event hub did not close as it should'));
  };

  const follow = async ({ endpoints }: Pick<RouteSet, 'endpoints'>): Promise<void> => {
    const wanted = new Map(
      endpoints.flatMap(({ endpoint }) => (endpoint.kind === 'eventHub' ? [[keyOf(endpoint), endpoint] as const] : [])),
    );
    for (const [key, one] of [...running]) if (!wanted.has(key)) await close(one);
    for (const [key, endpoint] of wanted) {
      if (running.has(key)) continue;
      const one: Running<Stored> = { endpoint, opening: undefined, opened: undefined, cancelRetry: () => {} };
      running.set(key, one);
      await openOrRetry(one);
    }
  };
  const followed = (set: Pick<RouteSet, 'endpoints'>): Promise<void> => {
    changing = changing
      .then(() => follow(set))
      .catch((error) => log.error({ error }, 'the event hubs of endpoints could not follow the routes'));
    return changing;
  };

  const unwatch = routes.watch(followed);
  shutdown.add('event hubs of endpoints', () => {
    unwatch();
    return followed({ endpoints: [] });
  });
  await followed(routes.current());
  return {
    logs: () => [...running.values()].flatMap((one) => one.opened?.log ?? []),
    of(endpoint) {
      const one = running.get(keyOf(endpoint));
      return one === undefined ? Promise.reject(new Error('its event hub is not open')) : opened(one);
    },
    watch(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

/** A retention that changes is that of the next start: readers stay with the log that they have. */
const keyOf = ({ name, eventHub, partitions }: EventHubEndpoint): string =>
  JSON.stringify([name, eventHub, partitions]);
