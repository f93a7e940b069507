/** Routes and delivery of the simulated hub, in one run of its process, put together as the server does. */
import type { Log } from '../../src/base/log.ts';
import type { EventLog } from '../../src/core/events/ports.ts';
import type { Guard } from '../../src/core/identity/guard.ts';
import { createEnrichments } from '../../src/core/routes/enrichments.ts';
import type { CursorStore, RouteStore } from '../../src/core/routes/ports.ts';
import { routedLog } from '../../src/core/routes/routed-log.ts';
import type { TwinStore } from '../../src/core/twins/ports.ts';
import { readSender } from '../../src/records/read-record.ts';
import { routingMark } from '../../src/records/record-codec.ts';
import { Delivery } from '../../src/server/delivery/delivery.ts';
import { stateOf } from '../../src/server/delivery/delivery-states.ts';
import { Shutdown } from '../../src/server/lifecycle.ts';
import { type OpenRoutes, openRoutes } from '../../src/server/routes/open-routes.ts';
import { owner } from '../drivers/owner.ts';
import type { Canary, SimulatedRouting } from './canary.ts';
import type { SimulatedEndpoint } from './endpoint.ts';
import type { Life } from './scheduler.ts';
import type { World } from './world.ts';

export interface SimulatedDeliveryParts {
  readonly world: World;
  readonly canary: Canary;
  readonly life: Life;
  readonly guard: Guard;
  readonly eventLog: EventLog;
  readonly twins: Pick<TwinStore, 'load'>;
  readonly routes: RouteStore;
  readonly cursors: CursorStore;
  readonly endpoints: readonly SimulatedEndpoint[];
  readonly log: Log;
}

export interface SimulatedDelivery {
  readonly routes: OpenRoutes;
  readonly routing: SimulatedRouting;
  /** What is not delivered yet, if there is anything. */
  waits(): string | undefined;
  close(): Promise<void>;
}

/**
 * What an operator declares: `kind=a` is for all endpoints, and readers do not see it; `kind=b` is for the first endpoint, and
 * they see it; so is what twins and identities tell. Everything else is for readers alone. `wishOf` says the same.
 */
function declaration(names: readonly string[]): unknown {
  const [first] = names;
  const route = (name: string, condition: string, endpoint: string) => ({ name, condition, endpoint });
  return {
    endpoints: names.map((name) => ({ kind: 'kafka', name, brokers: ['elsewhere:9092'], topic: name })),
    routes: [
      ...names.map((name) => route(`a-to-${name}`, "kind = 'a'", name)),
      route('b-to-readers', "kind = 'b'", 'events'),
      route('b-to-endpoint', "kind = 'b'", first),
      { ...route('twins-to-readers', 'true', 'events'), source: 'TwinChangeEvents' },
      { ...route('twins-to-endpoint', 'true', first), source: 'TwinChangeEvents' },
    ],
    enrichments: [{ key: 'hub', value: '$iothubname', endpoints: names }],
  };
}

/** Where an event is to be found. @param source As its record has it @param kind The property of this name */
export function wishOf(source: string, kind: string | undefined, names: readonly string[]) {
  const [first] = names;
  if (source === 'twinChangeEvents') return { endpoints: [first], isShown: true };
  if (kind === 'a') return { endpoints: names, isShown: false };
  return { endpoints: kind === 'b' ? [first] : [], isShown: true };
}

/** @throws Error (rejection) tables or log cannot be read now */
export async function openSimulatedDelivery(parts: SimulatedDeliveryParts): Promise<SimulatedDelivery> {
  const { world, canary, life, guard, eventLog, endpoints, log } = parts;
  const { clock } = life;
  const { crashes, stops } = world.counters;
  const dice = world.dice(`delivery-${crashes + stops}`);
  const shutdown = new Shutdown({ ...log, flush: () => {} });
  const routes = await openRoutes({
    settings: { routesFile: undefined, storage: world.plan.cluster ? 'cluster' : 'embedded' },
    ...{ store: parts.routes, telemetry: eventLog, twins: parts.twins, clock, log, shutdown },
  });
  const room = await routes.open(guard, async () => delivery.facts().map(stateOf));
  const names = endpoints.map(({ name }) => name);
  if (routes.current().number === 0) await room.replace(owner, declaration(names));
  const enrichments = createEnrichments({
    ...{ current: () => routes.current(), hubName: 'mooring', senderOf: readSender, loadTwin: routes.loadTwin, clock },
    leftOut: (endpoint, events) => world.find(`${events} events went to ${endpoint} without what is added to them`),
  });
  const routed = routedLog(eventLog, routingMark);
  const delivery = new Delivery({
    ...{ log: canary.routedLog?.(routed) ?? routed, cursors: parts.cursors, clock, node: 'hub', hubLog: log },
    storeTime: () => clock.now(),
    chance: () => dice.next(),
    sinkOf: ({ name }) => {
      const endpoint = endpoints.find((each) => each.name === name);
      if (endpoint === undefined) throw new Error(`there is no endpoint ${name}`);
      const sink = endpoint.sink(life);
      return canary.sink?.(sink) ?? sink;
    },
    enriched: (endpoint, records) => enrichments.enriched(endpoint, records),
    changed: ({ name }, before, now) => world.trace('hub', `${name} was ${before.health}, is ${now.health}`),
  });
  delivery.follow(routes.current());
  shutdown.add('delivery to endpoints', () => delivery.close());
  return {
    routes,
    routing: canary.routing?.(routes.routing) ?? routes.routing,
    waits() {
      for (const { name, partitions, behind } of delivery.facts()) {
        if (partitions.length < eventLog.partitionCount) return `${name} has not all of its partitions`;
        if (behind > 0) return `${behind} events wait for ${name}`;
      }
      return delivery.facts().length < names.length ? 'not all endpoints are delivered to' : undefined;
    },
    close: () => shutdown.run(),
  };
}
