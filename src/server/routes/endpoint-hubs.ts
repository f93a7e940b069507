/** Event hubs of endpoints of the kind `eventHub`: they open and close with the routes in force. */
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
}

export async function openEndpointHubs<Stored extends EventLog>(parts: {
  readonly routes: Pick<OpenRoutes, 'current' | 'watch'>;
  /** @throws Error whose message says what to do */
  readonly open: (wish: EventHubWish) => Promise<OpenEventHub<Stored>>;
  /** Names that the hub has for event hubs of its own. */
  readonly reserved: readonly string[];
  readonly log: Log;
  readonly shutdown: Shutdown;
}): Promise<EndpointHubs<Stored>> {
  const { routes, open, log, shutdown } = parts;
  const reserved = parts.reserved.map((name) => name.toLowerCase());
  const running = new Map<string, Running<Stored>>();
  const listeners = new Set<() => Promise<void> | void>();
  let changing: Promise<void> = Promise.resolve();

  const tell = async (): Promise<void> => {
    await Promise.all([...listeners].map(async (listener) => listener()));
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

  const follow = async ({ endpoints }: Pick<RouteSet, 'endpoints'>): Promise<void> => {
    const wanted = new Map(
      endpoints.flatMap(({ endpoint }) => (endpoint.kind === 'eventHub' ? [[keyOf(endpoint), endpoint] as const] : [])),
    );
    for (const [key, one] of [...running]) {
      if (wanted.has(key)) continue;
      running.delete(key);
      await one.opening?.catch(() => {});
      await tell();
      await one.opened?.close();
    }
    for (const [key, endpoint] of wanted) {
      if (running.has(key)) continue;
      const one: Running<Stored> = { endpoint, opening: undefined, opened: undefined };
      running.set(key, one);
      await opened(one).catch((error) =>
        log.error({ endpoint: endpoint.name, error }, 'the event hub of an endpoint could not be opened'),
      );
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
