/** Decides where events go: the routes of one set, compiled. */
import type { MessageHead, RouteDecider, RoutingMark } from '../events/ports.ts';
import type { HubEventStamp } from '../events/types.ts';
import type { RoutingCondition, RoutingConditions } from '../query/routing-conditions.ts';
import type { TwinCache } from './twin-cache.ts';
import { BUILT_IN_ENDPOINT, type Route, type RouteSet, type RouteSource } from './types.ts';

const HIDDEN = 0x10000;
const SLOTS = 0xffff;
/** Stands for the built-in event hub while endpoints are gathered. */
const BUILT_IN = 0x20000;

/** Names of sources as records have them. */
const sourcesByMessage: ReadonlyMap<string, RouteSource> = new Map([
  ['Telemetry', 'DeviceMessages'],
  ['twinChangeEvents', 'TwinChangeEvents'],
  ['deviceLifecycleEvents', 'DeviceLifecycleEvents'],
  ['deviceConnectionStateEvents', 'DeviceConnectionStateEvents'],
  ['deviceJobLifecycleEvents', 'DeviceJobLifecycleEvents'],
  ['digitalTwinChangeEvents', 'DigitalTwinChangeEvents'],
]);

export const messageSourceOf = (source: RouteSource): string =>
  [...sourcesByMessage].find(([, each]) => each === source)?.[0] ?? source;

export const sourceOf = (stamp: HubEventStamp): RouteSource | undefined => sourcesByMessage.get(stamp.source);

interface CompiledRoute {
  readonly route: Route;
  readonly condition: RoutingCondition;
  readonly bit: number;
}

interface OfSource {
  readonly routes: readonly CompiledRoute[];
  /** Whether what they decide hangs on more than properties and what the hub says of the sender. */
  readonly hangs: boolean;
  readonly asksTwin: boolean;
  /** Where an event goes that no route takes. */
  readonly otherwise: number;
}

/** What a route says of an event. */
export interface RouteAnswer {
  readonly route: string;
  readonly endpoint: string;
  readonly matches: boolean;
  readonly reason: string;
}

export interface RouteTrial {
  readonly answers: readonly RouteAnswer[];
  /** Names of endpoints that get it, `events` among them. */
  readonly endpoints: readonly string[];
  /** Whether the fallback route has taken it. */
  readonly byFallback: boolean;
}

export interface TrialEvent {
  readonly stamp: HubEventStamp;
  readonly message: MessageHead;
  readonly body: Uint8Array;
  readonly time: number;
  readonly twin: object | undefined;
}

const nowhere: OfSource = { routes: [], hangs: false, asksTwin: false, otherwise: BUILT_IN };

export class SetDecider implements RouteDecider {
  readonly set: RouteSet;
  /** Whether a route asks for twins. */
  readonly asksTwin: boolean;
  readonly #conditions: RoutingConditions;
  readonly #twins: TwinCache | undefined;
  readonly #ofSource = new Map<RouteSource, OfSource>();
  /** The same by the names that records have. */
  readonly #ofMessage = new Map<string, OfSource>();
  /** The set before this one: it decides for devices whose twin is not known yet. */
  readonly #before: RouteDecider | undefined;

  /**
   * @param conditions New ones, in which nothing is yet
   * @param twins Absent = `$twin` is undefined, but in trials
   * @throws HubError ArgumentInvalid: a condition cannot be read
   */
  constructor(set: RouteSet, conditions: RoutingConditions, twins?: TwinCache, before?: RouteDecider) {
    this.set = set;
    this.#conditions = conditions;
    this.#twins = twins;
    this.#before = before;
    const sources = new Set<RouteSource>(['DeviceMessages', ...set.routes.map(({ source }) => source)]);
    for (const source of sources) {
      const routes = set.routes
        .filter((route) => route.source === source && route.isEnabled)
        .map((route) => ({ route, condition: conditions.add(route.condition), bit: this.#bitOf(route.endpoint) }));
      const { fallback } = set;
      const otherwise = source === 'DeviceMessages' && fallback.isEnabled ? this.#bitOf(fallback.endpoint) : 0;
      const hangs = routes.some(({ condition: { asks } }) => asks.body || asks.twin || asks.time);
      const asksTwin = routes.some(({ condition: { asks } }) => asks.twin);
      // Another source that no route takes goes where it went before there were routes.
      const isOwn = source === 'DeviceMessages' || routes.length > 0;
      const of = isOwn ? { routes, hangs, asksTwin, otherwise } : nowhere;
      this.#ofSource.set(source, of);
      this.#ofMessage.set(messageSourceOf(source), of);
    }
    this.asksTwin = [...this.#ofSource.values()].some(({ asksTwin }) => asksTwin);
  }

  decide(
    stamp: HubEventStamp,
    message: MessageHead,
    source: Uint8Array,
    bodyStart: number,
    bodyEnd: number,
    now: number,
  ): RoutingMark {
    const of = this.#of(stamp);
    if (of.routes.length === 0) return markOf(of.otherwise);
    let twin: object | undefined;
    if (of.asksTwin && this.#twins !== undefined && stamp.deviceId !== undefined) {
      const key = stamp as HubEventStamp & { readonly deviceId: string };
      twin = this.#twins.peek(key);
      if (twin === undefined && this.#before !== undefined && !this.#twins.knows(key)) {
        return this.#before.decide(stamp, message, source, bodyStart, bodyEnd, now);
      }
    }
    this.#conditions.look({ stamp, message, source, bodyStart, bodyEnd, time: now, twin });
    return markOf(taken(of));
  }

  decideHead(stamp: HubEventStamp, message: MessageHead): RoutingMark | undefined {
    const of = this.#of(stamp);
    if (of.hangs) return undefined;
    return this.decide(stamp, message, NO_BODY, 0, 0, 0);
  }

  /** What each route says of an event, and why; also of those that are not enabled. */
  explain({ stamp, message, body, time, twin }: TrialEvent, only?: string): RouteTrial {
    const source = sourceOf(stamp);
    const of = this.#of(stamp);
    this.#conditions.look({ stamp, message, source: body, bodyStart: 0, bodyEnd: body.length, time, twin });
    const answers = this.set.routes
      .filter(({ name }) => only === undefined || name.toLowerCase() === only.toLowerCase())
      .map((route) => ({ route: route.name, endpoint: route.endpoint, ...this.#answer(route, source) }));
    const matched = taken({ ...of, otherwise: 0 });
    const gathered = matched === 0 ? of.otherwise : matched;
    const named = this.set.endpoints.filter(({ slot }) => (gathered & (1 << slot)) !== 0);
    const endpoints = named.map(({ endpoint }) => endpoint.name);
    return {
      answers,
      endpoints: (gathered & BUILT_IN) !== 0 ? [BUILT_IN_ENDPOINT, ...endpoints] : endpoints,
      byFallback: matched === 0 && of.otherwise !== 0 && source === 'DeviceMessages',
    };
  }

  #answer(route: Route, source: RouteSource | undefined): Pick<RouteAnswer, 'matches' | 'reason'> {
    if (!route.isEnabled) return { matches: false, reason: 'the route is not enabled' };
    if (route.source !== source) {
      return {
        matches: false,
        reason: `the route takes ${route.source}, and this is of ${source ?? 'no source of routes'}`,
      };
    }
    const { condition } = this.#ofSource.get(route.source)?.routes.find((one) => one.route === route) ?? {};
    return condition === undefined
      ? { matches: false, reason: 'the route is not enabled' }
      : { matches: condition.result() === true, reason: condition.reason() };
  }

  #of(stamp: HubEventStamp): OfSource {
    return this.#ofMessage.get(stamp.source) ?? nowhere;
  }

  #bitOf(endpoint: string): number {
    const name = endpoint.toLowerCase();
    if (name === BUILT_IN_ENDPOINT) return BUILT_IN;
    const placed = this.set.endpoints.find((one) => one.endpoint.name.toLowerCase() === name);
    return placed === undefined ? 0 : 1 << placed.slot;
  }
}

const NO_BODY = new Uint8Array(0);

/** An endpoint gets an event once, so a route to one that has it already is not asked. */
function taken({ routes, otherwise }: OfSource): number {
  let gathered = 0;
  for (const { condition, bit } of routes) {
    if ((gathered & bit) === 0 && condition.mayMatch() && condition.result() === true) gathered |= bit;
  }
  return gathered === 0 ? otherwise : gathered;
}

const markOf = (gathered: number): RoutingMark => (gathered & SLOTS) | ((gathered & BUILT_IN) === 0 ? HIDDEN : 0);
