/** Bugs of routes and of delivery to endpoints; see `canaries.ts`. */
import { type RouteDecider, SLOTS_MASK } from '../../src/core/events/ports.ts';
import type { Delivered, EndpointSink } from '../../src/core/routes/ports.ts';
import type { Canary } from './canary.ts';
import type { Plan } from './plan.ts';

const delivering: Partial<Plan> = { endpoints: 2, endpointFaultRate: 0.4, devices: 3 };

export const deliveryCanaries: readonly Canary[] = [
  {
    name: 'move a cursor before the endpoint has answered',
    plan: { ...delivering, crashEveryMs: 6000 },
    sink: (sink) => ({ ...sink, deliver: async (...parameters) => sentAndForgotten(sink, ...parameters) }),
  },
  {
    name: 'move a cursor over what an endpoint has left of a part',
    plan: delivering,
    sink: (sink) => ({
      ...sink,
      async deliver(...parameters): Promise<Delivered> {
        const outcome = await sink.deliver(...parameters);
        return outcome.kind === 'done' ? { kind: 'done' } : outcome;
      },
    }),
  },
  {
    name: 'deliver to an endpoint what is for another one',
    plan: delivering,
    routedLog: (log) => ({
      ...log,
      read: (partition, from, bounds) => log.read(partition, from, { ...bounds, slots: 0b11 }),
    }),
  },
  {
    name: 'go on in the midst of what was read after a crash',
    plan: { ...delivering, crashEveryMs: 6000 },
    routedLog: (log) => {
      const begun = new Set<number>();
      return {
        ...log,
        async read(partition, from, bounds) {
          const batch = await log.read(partition, from, bounds);
          if (from === 0 || begun.has(partition) || batch.records.length === 0) return batch;
          begun.add(partition);
          return { ...batch, records: batch.records.slice(1) };
        },
      };
    },
  },
  {
    name: 'show readers what is routed only elsewhere',
    plan: { ...delivering, amqpReaders: 2 },
    routing: (routing) => ({
      markOf: routing.markOf,
      ready: (key) => routing.ready(key),
      get mayHide() {
        return routing.mayHide;
      },
      get current() {
        return routing.current && shownToAll(routing.current);
      },
    }),
  },
  {
    name: 'decide by routes that have been changed',
    plan: { ...delivering, routeChangeEveryMs: 4000, clockJumpEveryMs: 0, breakEveryMs: 0 },
    routing: (routing) => {
      let first: RouteDecider | undefined;
      return {
        markOf: routing.markOf,
        ready: (key) => routing.ready(key),
        get mayHide() {
          return routing.mayHide;
        },
        get current() {
          first ??= routing.current;
          return first;
        },
      };
    },
  },
];

function shownToAll(decider: RouteDecider): RouteDecider {
  return {
    decide: (...parameters) => decider.decide(...parameters) & SLOTS_MASK,
    decideHead: (...parameters) => {
      const mark = decider.decideHead(...parameters);
      return mark === undefined ? undefined : mark & SLOTS_MASK;
    },
  };
}

/** The hub takes what is on its way for taken. */
async function sentAndForgotten(
  sink: EndpointSink,
  ...parameters: Parameters<EndpointSink['deliver']>
): Promise<Delivered> {
  sink.deliver(...parameters).catch(() => {});
  return { kind: 'done' };
}
