/** Enrichments of a hub, and what operators hear of them: events that would be too large with them are counted and logged. */
import { Counter, type Registry } from 'prom-client';
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import { createEnrichments, type Enrichments } from '../../core/routes/enrichments.ts';
import { readSender } from '../../records/read-record.ts';
import type { OpenRoutes } from './open-routes.ts';

export interface OpenEnrichmentsParts {
  readonly routes: Pick<OpenRoutes, 'current' | 'loadTwin'>;
  readonly hubName: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly registry: Registry;
}

export function openEnrichments({ routes, hubName, clock, log, registry }: OpenEnrichmentsParts): Enrichments {
  const counter = new Counter({
    name: 'mooring_enrichments_left_out_total',
    help: 'Events that went to an endpoint without enrichments, with which they would have been too large',
    labelNames: ['endpoint'],
    registers: [registry],
  });
  /** When it was last logged of an endpoint, by the monotonic clock. */
  const logged = new Map<string, number>();
  return createEnrichments({
    ...{ current: () => routes.current(), hubName, senderOf: readSender, loadTwin: routes.loadTwin, clock },
    leftOut(endpoint, events) {
      counter.inc({ endpoint }, events);
      const now = clock.monotonic();
      if (now - (logged.get(endpoint) ?? Number.NEGATIVE_INFINITY) < limits.enrichmentsLeftOutLogMs) return;
      logged.set(endpoint, now);
      const { enrichedEventBytesMax: bytesMax } = limits;
      log.warn({ endpoint, events, bytesMax }, 'events go to an endpoint without enrichments: they would be too large');
    },
  });
}
