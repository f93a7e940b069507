/** Routes in listener threads: each decides where it builds its batches. Secrets of endpoints stay in the main thread. */
import type { Clock } from '../../base/clock.ts';
import type { TwinLoader } from '../../core/routes/twin-cache.ts';
import type { Endpoint, RouteSet } from '../../core/routes/types.ts';
import { type OpenRoutes, routesInForce } from '../routes/open-routes.ts';
import type { EveryCall, ThreadLink } from './calls.ts';

/** What the hub's threads need of its routes. */
export type SharedRoutes = Pick<OpenRoutes, 'current' | 'watch' | 'loadTwin'>;

interface RouteCalls {
  /** Answers when the thread decides by the set. */
  apply(set: RouteSet): Promise<void>;
}

interface TwinCalls {
  load: TwinLoader;
}

const routeCalls: EveryCall<RouteCalls> = { apply: true };
const twinCalls: EveryCall<TwinCalls> = { load: true };

/** The set without what only delivery needs. */
export function sentRoutes(set: RouteSet): RouteSet {
  const bare = ({ kind, name }: Endpoint): Endpoint => ({ kind, name }) as Endpoint;
  return { ...set, endpoints: set.endpoints.map((placed) => ({ ...placed, endpoint: bare(placed.endpoint) })) };
}

/** Serves one thread; the returned function ends it. */
export function serveRoutes(link: ThreadLink, routes: SharedRoutes): () => void {
  link.serve('routing twins', { load: (key) => routes.loadTwin(key) } satisfies TwinCalls);
  const thread = link.remote<RouteCalls>('routes', routeCalls);
  // A thread that has ended decides nothing any more.
  const tell = (set: RouteSet): Promise<void> => thread.apply(sentRoutes(set)).catch(() => {});
  const end = routes.watch(tell);
  // One that came between the start and now.
  void tell(routes.current());
  return end;
}

/** What decides in this thread. */
export function routesStandIn(link: ThreadLink, start: RouteSet, clock: Clock): OpenRoutes['routing'] {
  const twins = link.remote<TwinCalls>('routing twins', twinCalls);
  const routing = routesInForce((key) => twins.load(key), clock);
  if (start.number > 0) routing.apply(start, true);
  link.serve('routes', { apply: async (set) => routing.apply(set) } satisfies RouteCalls);
  return routing;
}
