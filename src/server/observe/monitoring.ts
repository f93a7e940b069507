/**
 * Puts monitoring together: the monitor, the stream that keeps its events, the presence that the registry keeps, and
 * what a crash of the run before has left behind.
 */

import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import type { Random } from '../../base/random.ts';
import type { CommandQueue } from '../../core/commands/ports.ts';
import type { EventLog, RecordCodec, Routing } from '../../core/events/ports.ts';
import { partitionOf } from '../../core/events/rules.ts';
import type { PartitionFacts } from '../../core/events/types.ts';
import type { HubParts } from '../../core/hub.ts';
import { createDetections } from '../../core/monitoring/detections.ts';
import type { CommandFollower } from '../../core/monitoring/followed-commands.ts';
import { joinedToConnections } from '../../core/monitoring/joined-steps.ts';
import { monitoringBody, monitoringMessage } from '../../core/monitoring/messages.ts';
import { createMonitor, type Monitor } from '../../core/monitoring/monitor.ts';
import { serviceMessage } from '../../core/monitoring/service-events.ts';
import { createEventStream, type EventStream } from '../../core/monitoring/stream.ts';
import { type Recorder, silentRecorder } from '../../core/monitoring/types.ts';
import type { Places } from '../../core/presence/places.ts';
import { createPresence, type PresenceParts, type PresenceRoom } from '../../core/presence/presence.ts';
import { type KeptPresence, keepPresence, type PresenceStateStore } from '../../core/presence/states.ts';
import type { LiveEvents } from '../../protocols/http/monitoring-routes.ts';
import { readTrace } from '../../records/record-codec.ts';
import type { Settings } from '../config/config.ts';
import type { Shutdown } from '../lifecycle.ts';
import type { Metrics } from './metrics.ts';
import { measureLiveEvents, measureMonitoring, measurePresence } from './monitoring-metrics.ts';
import { type OpenTraces, openTraces } from './traces/traces.ts';

export interface MonitoringParts {
  readonly settings: Settings;
  readonly hubName: string;
  readonly telemetry: EventLog;
  readonly monitoring: EventLog;
  readonly codec: RecordCodec;
  readonly routing: Pick<Routing, 'current'>;
  readonly presenceStates: PresenceStateStore;
  readonly places: Places;
  /** Absent = this process is the hub. */
  readonly nodes: PresenceParts['nodes'];
  readonly commandQueue: CommandQueue;
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly shutdown: Shutdown;
}

export interface OpenMonitoring {
  readonly recorder: Recorder;
  readonly tracing: HubParts['tracing'];
  readonly commandFollower: CommandFollower | undefined;
  /** Presence as the registry keeps it, and who is to hear of connections for that. */
  readonly keptPresence: KeptPresence;
  /** The connections of this process. */
  readonly presence: PresenceRoom;
  /** Says of all that a run has left as connected that they are not: one of this node, or of another that has gone. */
  recover(states: PresenceStateStore): Promise<void>;
  /** For the admin port; undefined where monitoring is switched off. */
  readonly liveEvents: LiveEvents | undefined;
  /** The way of traces to their collector; undefined where there is none. */
  readonly traces: OpenTraces | undefined;
}

/** Opened before the doors, and so closed after them: a stop tells of every connection that it ends. */
export async function openMonitoring(parts: MonitoringParts): Promise<OpenMonitoring> {
  const { settings, presenceStates, places, nodes, clock, log, shutdown } = parts;
  const { traceDevices, traceSample } = settings;
  const isTracing = settings.monitoring && (traceDevices.length > 0 || traceSample > 0);
  const stored = await parts.monitoring.partition(0);
  const running = settings.monitoring ? startMonitor(parts, stored) : undefined;
  const traces = running && openTraces({ ...parts, monitor: running.monitor });
  const presence = createPresence({ places, clock, log, ...(nodes && { nodes }) });
  const keptPresence = keepPresence(presence, {
    store: presenceStates,
    clock,
    log,
  });
  measurePresence(parts.metrics.registry, keptPresence);
  shutdown.add('monitoring', async () => {
    running?.monitor.record({ type: 'hubStopped' });
    running?.close();
    await keptPresence.close();
    await traces?.close();
    await presenceStates.end();
  });
  running?.monitor.record({ type: 'hubStarted' });
  if (await presenceStates.begin()) await recover(presenceStates, parts, running);
  return {
    recorder: running === undefined ? silentRecorder : heardBy(running.monitor, isTracing),
    tracing: isTracing ? { devices: traceDevices, sample: traceSample, traceOf: readTrace } : undefined,
    commandFollower: traces?.commandFollower,
    keptPresence,
    presence,
    async recover(states) {
      await recover(states, parts, running);
      await states.end();
    },
    liveEvents: running && liveEvents(running.monitor, parts.metrics),
    traces,
  };
}

const heardBy = (monitor: Monitor, isTracing: boolean): Recorder =>
  isTracing ? joinedToConnections(monitor) : monitor;

function liveEvents(monitor: Monitor, metrics: Metrics): LiveEvents {
  return {
    ...measureLiveEvents(metrics.registry),
    watch: (listener) =>
      monitor.watch((event) => {
        listener(event.type, String(event.sequenceNumber), JSON.stringify(monitoringBody(event)));
      }),
  };
}

interface RunningMonitor {
  readonly monitor: Monitor;
  readonly stream: EventStream;
  close(): void;
}

function startMonitor(
  { settings, hubName, telemetry, monitoring, codec, routing, metrics, clock, log }: MonitoringParts,
  stored: PartitionFacts,
): RunningMonitor {
  const monitor = createMonitor({
    clock,
    log,
    // Whatever the clock does: later than everything that the stream holds.
    startTime: Math.max(clock.now(), stored.lastTime + 1),
    earlierEvents: stored.lastSequence + 1,
    peer: settings.monitoringPeer,
    windowMs: settings.monitoringWindowSeconds * 1000,
  });
  const stream = createEventStream({ log: monitoring, codec, clock, recorder: monitor });
  monitor.watch((event) => stream.append(monitoringMessage(event)));
  const streams = [stream];
  const wanted: ReadonlySet<string> = new Set(
    wantsSource(settings, 'deviceConnectionStateEvents') ? ['connection-state'] : [],
  );
  if (wanted.size > 0) {
    const own = createEventStream({ log: telemetry, codec, routing, clock, recorder: monitor });
    streams.push(own);
    monitor.watch((event) => {
      const partition = partitionOf(event.deviceId ?? '', telemetry.partitionCount);
      const message = serviceMessage(event, { hubName, partition, wanted });
      if (message !== undefined) own.append(message);
    });
  }
  const detections = createDetections({
    clock,
    recorder: monitor,
    thresholds: {
      'authentication-failures-of-device': settings.detectDeviceFailures,
      'authentication-failures-of-address': settings.detectAddressFailures,
      'flapping-device': settings.detectFlapping,
      'silent-device': settings.detectSilentMinutes,
      'rejected-commands': settings.detectRejectedCommands,
      'rate-change': settings.detectRateFactor,
    },
  });
  monitor.watch((event) => detections.observe(event));
  measureMonitoring(metrics.registry, { monitor, streams, detections });
  return {
    monitor,
    stream,
    close() {
      detections.close();
      monitor.flush();
      for (const each of streams) each.close();
    },
  };
}

/** What was connected when the hub was killed is not: the registry says so, of this hub before the first door opens. */
async function recover(
  presenceStates: PresenceStateStore,
  { monitoring, log }: MonitoringParts,
  running: RunningMonitor | undefined,
): Promise<void> {
  let connectionsLost = 0;
  for (;;) {
    const states = await presenceStates.recover(limits.presenceBatchMax);
    if (states.length === 0) break;
    connectionsLost += states.length;
    for (const { key, lastActivityTime } of states) {
      running?.monitor.record({ type: 'disconnected', ...key, reason: 'hub-crashed', lastActivityTime });
    }
    if (monitoring.writer.congested) await new Promise<void>((resolve) => monitoring.writer.whenRelieved(resolve));
  }
  running?.monitor.record({ type: 'hubRecovered', connectionsLost });
  log.warn({ connectionsLost }, 'the hub was not stopped in order the last time; its connections count as ended');
}

/** Whether events of that source go to the telemetry event hub. */
export function wantsSource(
  { eventSources, monitoringServiceEvents }: Pick<Settings, 'eventSources' | 'monitoringServiceEvents'>,
  source: 'twinChangeEvents' | 'deviceLifecycleEvents' | 'deviceConnectionStateEvents' | 'deviceJobLifecycleEvents',
): boolean {
  if (eventSources.includes(source)) return true;
  if (source === 'deviceLifecycleEvents') return monitoringServiceEvents.includes('lifecycle');
  return source === 'deviceConnectionStateEvents' && monitoringServiceEvents.includes('connection-state');
}
