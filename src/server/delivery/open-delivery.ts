/** Opens delivery: to every endpoint in force, told in states, metrics, health and the monitoring stream. */

import { randomBytes } from 'node:crypto';
import type { Registry } from 'prom-client';
import type { Clock } from '../../base/clock.ts';
import { DAY_MS } from '../../base/limits/units.ts';
import type { Log } from '../../base/log.ts';
import type { EventLog, RoutingMarkReader } from '../../core/events/ports.ts';
import type { Recorder } from '../../core/monitoring/types.ts';
import type { Enrichments } from '../../core/routes/enrichments.ts';
import type { CursorStore } from '../../core/routes/ports.ts';
import { routedLog } from '../../core/routes/routed-log.ts';
import type { EndpointState } from '../../core/routes/states.ts';
import type { RouteSet } from '../../core/routes/types.ts';
import type { Settings } from '../config/config.ts';
import type { Shutdown } from '../lifecycle.ts';
import type { HealthCheck } from '../observe/health/health.ts';
import { Delivery } from './delivery.ts';
import { deliveryCheck } from './delivery-check.ts';
import { measureDelivery } from './delivery-metrics.ts';
import { stateOf } from './delivery-states.ts';
import { type StoredSinks, sinkOf } from './sinks.ts';

export interface OpenDeliveryParts extends StoredSinks {
  readonly settings: Pick<Settings, 'endpointPrivateAddresses' | 'retentionDays' | 'hostName'>;
  readonly hubName: string;
  readonly routes: { current(): RouteSet; watch(listener: (set: RouteSet) => void): () => void };
  readonly telemetry: EventLog;
  readonly markOf: RoutingMarkReader;
  readonly cursors: CursorStore;
  readonly enrichments: Enrichments;
  /** As `DeliveryParts`. */
  readonly node: string;
  readonly mayWork: () => boolean;
  readonly clock: Clock;
  /** Of the stores. */
  readonly storeClock: Pick<Clock, 'now'>;
  readonly recorder: Pick<Recorder, 'record'>;
  readonly registry: Registry;
  readonly log: Log;
  readonly shutdown: Shutdown;
}

export interface OpenDelivery {
  states(): readonly EndpointState[];
  readonly check: HealthCheck;
}

export function openDelivery(parts: OpenDeliveryParts): OpenDelivery {
  const { settings, hubName, routes, clock, log, recorder } = parts;
  const delivery = new Delivery({
    log: routedLog(parts.telemetry, parts.markOf),
    ...{ cursors: parts.cursors, clock, node: parts.node, mayWork: parts.mayWork, hubLog: log },
    storeTime: () => parts.storeClock.now(),
    chance: () => randomBytes(1)[0] / 255,
    sinkOf(endpoint) {
      if (endpoint.kind === 'archive') throw new Error('archives are not delivered');
      return sinkOf(endpoint, {
        kafkaSink: parts.kafkaSink,
        eventHubSink: parts.eventHubSink,
        hub: hubName,
        origin: settings.hostName[0] ?? hubName,
        mayBePrivate: settings.endpointPrivateAddresses,
        now: () => clock.now(),
        lost: (name, error) => log.warn({ endpoint: name, error }, 'a connection to an endpoint has broken'),
      });
    },
    enriched: (endpoint, records) => parts.enrichments.enriched(endpoint, records),
    changed({ name, kind }, before, { health, reason = '' }) {
      const fields = { endpoint: name, endpointKind: kind, health, reason };
      recorder.record({ type: 'endpointChanged', ...fields });
      if (health === 'healthy') log.info({ ...fields, before: before.health }, 'an endpoint takes events');
      else log.warn({ ...fields, before: before.health }, 'an endpoint does not take events; they wait in the log');
    },
  });
  const follow = (set: RouteSet): void => {
    const delivered = set.endpoints.filter(({ endpoint }) => endpoint.kind !== 'archive');
    delivery.follow({ endpoints: delivered });
  };
  follow(routes.current());
  const unwatch = routes.watch(follow);
  parts.shutdown.add('delivery to endpoints', async () => {
    unwatch();
    await delivery.close();
  });
  measureDelivery(parts.registry, () => delivery.facts());
  return {
    states: () => delivery.facts().map(stateOf),
    check: deliveryCheck(() => delivery.facts(), settings.retentionDays * DAY_MS),
  };
}
