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
import { declarationOf, type RoutesInForceThen, variantOf } from './routes-in-force.ts';
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
  /** Told which routes are in force. */
  readonly inForce: RoutesInForceThen;
  readonly log: Log;
}

export interface SimulatedDelivery {
  readonly routes: OpenRoutes;
  readonly routing: SimulatedRouting;
  /** What is not delivered yet, if there is anything. */
  waits(): string | undefined;
  close(): Promise<void>;
}

/** @throws Error (rejection) tables or log cannot be read now */
export async function openSimulatedDelivery(parts: SimulatedDeliveryParts): Promise<SimulatedDelivery> {
  const { world, canary, life, guard, eventLog, endpoints, inForce, log } = parts;
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
  if (routes.current().number === 0) await room.replace(owner, declarationOf('first', names));
  inForce.shown(variantOf(routes.current().routes), clock);
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

  // What a record says of its time is the wall clock's: where that jumps, nobody can say what was in force.
  const everyMs = world.plan.clockJumpEveryMs > 0 ? 0 : world.plan.routeChangeEveryMs;
  let cancel = (): void => {};
  shutdown.add('changes of routes', () => cancel());
  const changeLater = (): void => {
    cancel = clock.after(dice.wait(everyMs), () => void change());
  };
  const change = async (): Promise<void> => {
    if (world.calm) return;
    const variant = inForce.newest === 'first' ? 'second' : 'first';
    world.trace('operator', `asks for the ${variant} routes`);
    const answered = inForce.asked(variant, clock);
    try {
      await room.replace(owner, declarationOf(variant, names));
      answered();
      world.counters.routeChanges++;
    } catch (error) {
      world.trace('operator', `does not know whether the routes have changed: ${error}`);
    }
    changeLater();
  };
  if (everyMs > 0) changeLater();
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
