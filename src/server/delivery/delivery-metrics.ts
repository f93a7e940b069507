/** Delivery on the metrics page, by endpoint. */
import { Counter, Gauge, type Registry } from 'prom-client';
import type { EndpointFacts } from './endpoint-run.ts';

const healthValues = { unknown: 0, healthy: 1, degraded: 2, dead: 3 } as const;

export function measureDelivery(registry: Registry, facts: () => readonly EndpointFacts[]): void {
  const common = { registers: [registry], labelNames: ['endpoint'] };
  const gauge = (name: string, help: string, value: (facts: EndpointFacts) => number): void => {
    new Gauge({
      ...{ name, help, ...common },
      collect() {
        this.reset();
        for (const each of facts()) this.set({ endpoint: each.name }, value(each));
      },
    });
  };
  const counter = (name: string, help: string, value: (facts: EndpointFacts) => number): void => {
    new Counter({
      ...{ name, help, ...common },
      collect() {
        this.reset();
        for (const each of facts()) this.inc({ endpoint: each.name }, value(each));
      },
    });
  };
  gauge(
    'mooring_endpoint_health',
    '0 = not tried yet, 1 = healthy, 2 = degraded, 3 = dead',
    ({ condition }) => healthValues[condition.health],
  );
  gauge('mooring_endpoint_lag_events', 'Events in the log that were not looked at for it', ({ behind }) => behind);
  gauge('mooring_endpoint_lag_seconds', 'Age of the oldest event that waits for it', ({ behindMs }) => behindMs / 1000);
  counter('mooring_endpoint_delivered_total', 'Events that it has taken', ({ delivered }) => delivered);
  counter('mooring_endpoint_refused_total', 'Events that it refused for good', ({ refused }) => refused);
  counter('mooring_endpoint_missed_total', 'Events that retention removed before it took them', ({ missed }) => missed);
  counter('mooring_endpoint_failures_total', 'Attempts that came to nothing', ({ failures }) => failures);
}
