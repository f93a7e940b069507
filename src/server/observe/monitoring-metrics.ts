/** Metrics of the monitoring room, in Prometheus' form; `monitoring/` has a dashboard and alert rules over them. */
import { Counter, Gauge, type Registry } from 'prom-client';
import type { Detections } from '../../core/monitoring/detections.ts';
import type { Monitor } from '../../core/monitoring/monitor.ts';
import type { EventStream } from '../../core/monitoring/stream.ts';
import type { KeptPresence } from '../../core/presence/states.ts';
import type { LiveEvents } from '../../protocols/http/monitoring-routes.ts';

export interface MonitoringMeasured {
  readonly monitor: Monitor;
  readonly streams: readonly EventStream[];
  readonly detections: Detections;
}

export function measureMonitoring(registry: Registry, { monitor, streams, detections }: MonitoringMeasured): void {
  const registers = [registry];
  const events = new Counter({
    name: 'mooring_monitoring_events_total',
    help: 'Monitoring events by type; a sum of alike refusals is one event',
    labelNames: ['type'],
    registers,
  });
  const disconnections = new Counter({
    name: 'mooring_disconnections_total',
    help: 'Connections of devices that ended, by reason',
    labelNames: ['reason'],
    registers,
  });
  const refusals = new Counter({
    name: 'mooring_operations_refused_total',
    help: 'Operations that a rule or limit refused, by error code',
    labelNames: ['code'],
    registers,
  });
  const slowed = new Counter({
    name: 'mooring_slowed_seconds_total',
    help: 'Seconds in which senders were slowed, added up over the senders, by limit',
    labelNames: ['limit'],
    registers,
  });
  const raised = new Counter({
    name: 'mooring_detections_raised_total',
    help: 'Detections raised since the start',
    labelNames: ['detection'],
    registers,
  });
  monitor.watch((event) => {
    events.inc({ type: event.type });
    if (event.type === 'disconnected') disconnections.inc({ reason: event.reason });
    else if (event.type === 'throttled' && event.effect === 'slowed') {
      slowed.inc({ limit: event.limit.name }, event.count ?? 1);
    } else if (event.type === 'operationRefused' || event.type === 'throttled') {
      refusals.inc({ code: event.code }, event.count ?? 1);
    } else if (event.type === 'detectionRaised') raised.inc({ detection: event.detection });
  });
  new Gauge({
    name: 'mooring_detections_active',
    help: 'Detections that are raised now',
    labelNames: ['detection'],
    registers,
    collect() {
      for (const [detection, count] of detections.active()) this.set({ detection }, count);
    },
  });
  new Gauge({
    name: 'mooring_monitoring_sums_open',
    help: 'Sources whose refusals are being summed',
    registers,
    collect() {
      this.set(monitor.openSums());
    },
  });
  new Gauge({
    name: 'mooring_monitoring_events_pending',
    help: 'Monitoring events that wait because their log takes none',
    registers,
    collect() {
      this.set(streams.reduce((sum, stream) => sum + stream.pending(), 0));
    },
  });
  new Counter({
    name: 'mooring_monitoring_events_missed_total',
    help: 'Monitoring events that could not be stored; the stream tells their number',
    registers,
    collect() {
      this.reset();
      this.inc(streams.reduce((sum, stream) => sum + stream.missed(), 0));
    },
  });
}

export function measurePresence(registry: Registry, kept: KeptPresence): void {
  new Gauge({
    name: 'mooring_presence_pending',
    help: 'Identities whose presence waits to be written to the registry',
    registers: [registry],
    collect() {
      this.set(kept.pending());
    },
  });
}

export function measureLiveEvents(registry: Registry): Pick<LiveEvents, 'opened' | 'dropped'> {
  const registers = [registry];
  const clients = new Gauge({ name: 'mooring_live_event_clients', help: 'Clients that follow /events', registers });
  const dropped = new Counter({
    name: 'mooring_live_event_clients_dropped_total',
    help: 'Clients of /events that did not keep up',
    registers,
  });
  return { opened: (count) => clients.set(count), dropped: () => dropped.inc() };
}
