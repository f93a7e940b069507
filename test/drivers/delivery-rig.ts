/** Delivery of events to endpoints over stores in memory, with endpoints that do as they are told, and a clock that tests advance. */
import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import { VirtualClock } from '../../src/base/clock.ts';
import { silentLog } from '../../src/base/log.ts';
import type { Delivered, DeliveryBatch, EndpointSink } from '../../src/core/routes/ports.ts';
import { routedLog } from '../../src/core/routes/routed-log.ts';
import { nextSet, readDeclaration } from '../../src/core/routes/rules.ts';
import { noRoutes, type RouteSet } from '../../src/core/routes/types.ts';
import { recordCodec, routingMark, writeRoutingMark } from '../../src/records/record-codec.ts';
import { Delivery } from '../../src/server/delivery/delivery.ts';
import type { DeliveryParts } from '../../src/server/delivery/parts.ts';
import { createMemoryEventLog, type MemoryEventLogOptions } from '../../src/stores/memory/event-log.ts';
import { createMemoryRoutes } from '../../src/stores/memory/routes.ts';

export const stamp = { deviceId: 'd', generationId: 'g', authMethod: '{}', source: 'Telemetry' };

/** An endpoint that keeps what it takes, and does as it is told. */
export class TestSink implements EndpointSink {
  readonly inFlightMax: number;
  readonly taken: string[] = [];
  underWay = 0;
  most = 0;
  isClosed = false;
  answer: (batch: DeliveryBatch) => Delivered | Promise<Delivered> = () => ({ kind: 'done' });

  constructor(inFlightMax = 4) {
    this.inFlightMax = inFlightMax;
  }

  async deliver(batch: DeliveryBatch): Promise<Delivered> {
    this.underWay += 1;
    this.most = Math.max(this.most, this.underWay);
    try {
      const outcome = await this.answer(batch);
      if (outcome.kind === 'done') {
        const count = outcome.count ?? batch.events.length;
        this.taken.push(...batch.events.slice(0, count).map(({ sequence }) => `${batch.partition}-${sequence}`));
      }
      return outcome;
    } finally {
      this.underWay -= 1;
    }
  }

  async close(): Promise<void> {
    this.isClosed = true;
  }
}

export function rig(names: readonly string[], options: Partial<MemoryEventLogOptions> = {}) {
  const clock = new VirtualClock();
  const log = createMemoryEventLog({ name: 'hub', partitionCount: 2, clock, durable: 'byHand', ...options });
  const { cursors, routes } = createMemoryRoutes();
  const sinks = new Map(names.map((name) => [name, new TestSink()]));
  const changes: string[] = [];
  const endpoints = names.map((name) => ({ kind: 'kafka', name, brokers: ['localhost:1'], topic: 't' }));
  const set = nextSet(
    noRoutes,
    readDeclaration({ endpoints }, () => {}),
    0,
  );
  const parts = (node: string, more: Partial<DeliveryParts> = {}): DeliveryParts => ({
    ...{ log: routedLog(log, routingMark), cursors, clock, node, hubLog: silentLog },
    storeTime: () => clock.now(),
    chance: () => 1,
    sinkOf: ({ name }) => sinks.get(name) as TestSink,
    enriched: async (endpoint, records) => records.map((record) => ({ ...record, enrichments: [['to', endpoint]] })),
    changed: ({ name }, before, now) => changes.push(`${name}: ${before.health} -> ${now.health}`),
    ...more,
  });
  const put = async (partition: number, slots: number, count = 1): Promise<void> => {
    for (let at = 0; at < count; at += 1) {
      const record = recordCodec.encode(stamp, { system: {}, properties: [], body: Buffer.alloc(100) }, 1);
      writeRoutingMark(record, 0, slots);
      const place = log.writer.reserve(partition, record.length);
      record.copy(log.writer.bytes(partition), place);
    }
    await log.commit();
  };
  /** Lets time pass in steps, so that what waits for each other gets its turn. */
  const pass = async (ms: number, stepMs = 50): Promise<void> => {
    for (let gone = 0; gone <= ms; gone += stepMs) {
      clock.advance(Math.min(stepMs, ms - gone));
      for (let turns = 0; turns < 20; turns += 1) await turn();
    }
  };
  const started = async (node = 'n1', more?: Partial<DeliveryParts>): Promise<Delivery> => {
    const delivery = new Delivery(parts(node, more));
    delivery.follow(set);
    await pass(100);
    return delivery;
  };
  const declare = async (next: RouteSet = set): Promise<void> => {
    assert.ok(await routes.replace(next, [0, 0]));
  };
  return { clock, log, cursors, sinks, changes, set, put, pass, started, declare };
}

export const sequences = (partition: number, from: number, to: number): readonly string[] =>
  Array.from({ length: to - from }, (_, at) => `${partition}-${from + at}`);
