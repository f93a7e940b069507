import type { Principal } from '../identity/types.ts';
import type { RouteTrial } from './decider.ts';
import type { EndpointState } from './states.ts';
import type { RouteSet } from './types.ts';

/** Routes as operators see them. */
export interface Routes {
  /** What is in force; secrets of endpoints are in it, and doors hide them (`shownEndpoint`). */
  get(principal: Principal): Promise<RouteSet>;
  /**
   * Puts a declaration, as JSON, in the place of the one in force; it holds from the answer on.
   * @param ifNumber Only if the set in force has this number
   * @throws HubError ArgumentInvalid (with the place), PreconditionFailed, OperationNotAvailable (routes are declared in a file)
   */
  replace(principal: Principal, declaration: unknown, ifNumber?: number): Promise<RouteSet>;
  /** Adds one route, enrichment or endpoint, or puts it in the place of the one of its name. @throws HubError as `replace` */
  put(principal: Principal, part: RoutePart, entry: unknown): Promise<RouteSet>;
  /** @throws HubError as `replace`; ArgumentInvalid: there is none of this name, or a route leads to it */
  remove(principal: Principal, part: RoutePart, name: string): Promise<RouteSet>;
  /** What routes say of a message that is made up. @throws HubError ArgumentInvalid */
  test(principal: Principal, event: TestedEvent): Promise<RouteTrial>;
  /** How delivery to endpoints goes. */
  states(principal: Principal): Promise<readonly EndpointState[]>;
}

/** A list of a declaration. An enrichment's name is its key. */
export type RoutePart = 'routes' | 'enrichments' | 'endpoints';

/** A message to try routes with. */
export interface TestedEvent {
  /** As a route names it; absent = a message of a device. */
  readonly source?: string;
  readonly deviceId?: string;
  readonly moduleId?: string;
  readonly properties: Readonly<Record<string, string | null>>;
  /** By their names in conditions, without the mark: `contentType`. */
  readonly systemProperties: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
  /** `tags` and `properties`; absent = the twin of `deviceId`, if there is one. */
  readonly twin?: object;
  /** Only this route. */
  readonly route?: string;
  /** In place of the routes in force: one of this source and this condition. */
  readonly condition?: string;
}
