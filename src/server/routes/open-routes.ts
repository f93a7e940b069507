/** Opens the routes of a hub: the set in force in each thread, and what operators change of it. */
import type { Cancel, Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import type { EventLog } from '../../core/events/ports.ts';
import type { Guard, Guarded } from '../../core/identity/guard.ts';
import { RoutingConditions } from '../../core/query/routing-conditions.ts';
import type { RouteStore } from '../../core/routes/ports.ts';
import type { Routes } from '../../core/routes/room.ts';
import { createRoutes } from '../../core/routes/routes.ts';
import { RoutesInForce } from '../../core/routes/routing.ts';
import type { EndpointState } from '../../core/routes/states.ts';
import type { TwinLoader } from '../../core/routes/twin-cache.ts';
import type { RouteSet } from '../../core/routes/types.ts';
import type { TwinStore } from '../../core/twins/ports.ts';
import { routingMark } from '../../records/record-codec.ts';
import type { Settings } from '../config/config.ts';
import type { Shutdown } from '../lifecycle.ts';
import { readRoutesFile } from './routes-file.ts';

/** Hears of each set that comes in force; resolves when it is, where the listener is. */
export type SetListener = (set: RouteSet) => Promise<void> | void;

export interface OpenRoutes {
  readonly routing: RoutesInForce & { readonly markOf: typeof routingMark };
  readonly loadTwin: TwinLoader;
  /** The set in force now, with secrets of endpoints. */
  current(): RouteSet;
  watch(listener: SetListener): () => void;
  /** Another node has said that there is another set: it is looked for at once. */
  look(): void;
  /** @param states How delivery goes */
  open(guard: Guard, states: () => Promise<readonly EndpointState[]>): Promise<Guarded<Routes>>;
}

export interface OpenRoutesParts {
  readonly settings: Pick<Settings, 'routesFile' | 'storage'>;
  readonly store: RouteStore;
  readonly telemetry: EventLog;
  readonly twins: Pick<TwinStore, 'load'>;
  /** Called when this process has kept another set; absent = it is the only one. */
  readonly changed?: () => void;
  readonly clock: Clock;
  readonly log: Log;
  readonly shutdown: Shutdown;
}

export const newConditions = (): RoutingConditions => new RoutingConditions();

/** In one thread of the hub. */
export const routesInForce = (loadTwin: TwinLoader, clock: Clock): OpenRoutes['routing'] =>
  Object.assign(new RoutesInForce({ newConditions, loadTwin, clock }), { markOf: routingMark });

export async function openRoutes(parts: OpenRoutesParts): Promise<OpenRoutes> {
  const { settings, store, telemetry, clock, log, shutdown } = parts;
  const loadTwin: TwinLoader = async (key) => {
    const kept = await parts.twins.load(key);
    if (kept === undefined) return undefined;
    const { tags, desired, reported } = kept.twin;
    return { tags, properties: { desired: desired.values, reported: reported.values } };
  };
  const routing = routesInForce(loadTwin, clock);
  const listeners = new Set<SetListener>();
  let current = await store.load();
  if (current.number > 0) routing.apply(current, true);

  const apply = async (set: RouteSet): Promise<void> => {
    if (set.number <= current.number) return;
    current = set;
    routing.apply(set);
    await Promise.all([...listeners].map(async (listener) => listener(set)));
    log.info({ number: set.number, routes: set.routes.length, endpoints: set.endpoints.length }, 'routes in force');
  };

  // Tables on a server: another node may have changed them, and may have died before it could say so.
  let cancel: Cancel = () => {};
  let isLooking = false;
  let isOver = false;
  let isDueAgain = false;
  const lookLater = (ms: number): void => {
    cancel();
    if (!isOver) cancel = clock.after(ms, () => void look());
  };
  const look = async (): Promise<void> => {
    isLooking = true;
    isDueAgain = false;
    try {
      if ((await store.number()) > current.number) await apply(await store.load());
    } catch (error) {
      log.warn({ error }, 'whether routes have changed is not known');
    }
    isLooking = false;
    lookLater(isDueAgain ? 0 : limits.routesLookMs);
  };
  if (settings.storage === 'cluster') {
    lookLater(limits.routesLookMs);
    shutdown.add('look for routes', () => {
      isOver = true;
      cancel();
    });
  }

  return {
    routing,
    loadTwin,
    current: () => current,
    look() {
      isDueAgain = true;
      if (!isLooking) lookLater(0);
    },
    watch(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    async open(guard, states) {
      const { routesFile } = settings;
      const { routes, declare } = createRoutes({
        ...{ guard, store, telemetry, newConditions, loadTwin, states, clock },
        apply(set) {
          parts.changed?.();
          return apply(set);
        },
        file: routesFile,
      });
      if (routesFile !== undefined) await declare(readRoutesFile(routesFile));
      return routes;
    },
  };
}
