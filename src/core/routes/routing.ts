import type { Clock } from '../../base/clock.ts';
import type { Routing } from '../events/ports.ts';
import type { IdentityKey } from '../identity/types.ts';
import type { RoutingConditions } from '../query/routing-conditions.ts';
import { SetDecider } from './decider.ts';
import { TwinCache, type TwinLoader } from './twin-cache.ts';
import { noRoutes, type RouteSet } from './types.ts';

/** The routes in force in one thread of the hub. */
export class RoutesInForce implements Routing {
  current: SetDecider | undefined;
  mayHide = false;
  readonly #newConditions: () => RoutingConditions;
  readonly #twins: TwinCache;
  #number = 0;

  constructor(parts: {
    readonly newConditions: () => RoutingConditions;
    readonly loadTwin: TwinLoader;
    readonly clock: Pick<Clock, 'monotonic'>;
  }) {
    this.#newConditions = parts.newConditions;
    this.#twins = new TwinCache(parts.loadTwin, parts.clock);
  }

  /** Number of the set in force. */
  get number(): number {
    return this.#number;
  }

  /**
   * Puts a set in force, unless a later one is. From the next event on.
   * @param isFirst Nothing has been decided in this thread yet @throws HubError ArgumentInvalid
   */
  apply(set: RouteSet, isFirst = false): void {
    if (set.number <= this.#number) return;
    // It decides for devices that are connected until their twin has been read. One is enough.
    const before = isFirst ? undefined : new SetDecider(this.current?.set ?? noRoutes, this.#newConditions());
    this.current = decidesNothing(set) ? undefined : new SetDecider(set, this.#newConditions(), this.#twins, before);
    this.#number = set.number;
    this.mayHide = true;
  }

  ready(key: IdentityKey): Promise<void> | undefined {
    if (!this.current?.asksTwin || this.#twins.knows(key)) return undefined;
    return this.#twins.ready(key);
  }
}

/** All events are in the built-in event hub alone, as without routes. */
function decidesNothing({ routes, fallback }: RouteSet): boolean {
  return routes.length === 0 && fallback.isEnabled && fallback.endpoint.toLowerCase() === noRoutes.fallback.endpoint;
}
