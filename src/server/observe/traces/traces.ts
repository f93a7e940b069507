/** Puts traces together: spans from the monitor and from the commands, on their way to the collector of `otlpEndpoint`. */
import { readFileSync } from 'node:fs';
import { Counter, Gauge, type Registry } from 'prom-client';
import type { Clock } from '../../../base/clock.ts';
import type { Log } from '../../../base/log.ts';
import type { Random } from '../../../base/random.ts';
import type { CommandQueue } from '../../../core/commands/ports.ts';
import { type CommandFollower, createCommandFollower } from '../../../core/monitoring/followed-commands.ts';
import type { Monitor } from '../../../core/monitoring/monitor.ts';
import { createTelemetrySpans } from '../../../core/monitoring/spans.ts';
import type { Settings } from '../../config/config.ts';
import { otlpHeaders } from '../../config/trace-settings.ts';
import type { Metrics } from '../metrics.ts';
import { SpanExporter } from './exporter.ts';

export interface TracesParts {
  readonly settings: Settings;
  readonly hubName: string;
  readonly monitor: Monitor;
  readonly commandQueue: CommandQueue;
  readonly metrics: Pick<Metrics, 'registry'>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

export interface OpenTraces {
  /** For `createHub`; undefined where no command is to be a trace. */
  readonly commandFollower: CommandFollower | undefined;
  health: SpanExporter['health'];
  /** When the last step has been told: hands over what is left. The stores are still open. */
  close(): Promise<void>;
}

/** Undefined without `otlpEndpoint`: then nothing is wrapped, watched or kept. */
export function openTraces(parts: TracesParts): OpenTraces | undefined {
  const { settings, hubName, monitor, commandQueue, clock, random, log } = parts;
  const { otlpEndpoint: endpoint, otlpCommandSample: sample } = settings;
  if (endpoint === undefined) return undefined;
  const version = programVersion();
  const exporter = new SpanExporter({
    ...{ endpoint, version, clock, log },
    headers: otlpHeaders(settings.otlpHeaders ?? ''),
    resource: { 'service.name': 'mooring', 'service.version': version, 'mooring.hub.name': hubName },
  });
  const tell: SpanExporter['add'] = (span) => exporter.add(span);
  const telemetry = createTelemetrySpans(tell);
  const dropped = (): void => exporter.notMade();
  const commandFollower =
    sample === 0
      ? undefined
      : createCommandFollower({ queue: commandQueue, hubName, sample, clock, random, tell, dropped });
  monitor.watch((event) => {
    telemetry.observe(event);
    commandFollower?.observe(event);
  });
  measureTraces(parts.metrics.registry, exporter);
  log.info({ endpoint }, 'traces are exported');
  return {
    commandFollower,
    health: () => exporter.health(),
    async close() {
      telemetry.close();
      await commandFollower?.close();
      await exporter.stop();
    },
  };
}

/** That of the package; the file lies three folders up from the source and from what is built of it alike. */
function programVersion(): string {
  return JSON.parse(readFileSync(new URL('../../../../package.json', import.meta.url), 'utf8')).version;
}

function measureTraces(registry: Registry, exporter: SpanExporter): void {
  const registers = [registry];
  new Counter({
    name: 'mooring_trace_spans_exported_total',
    help: 'Spans that the collector has taken',
    registers,
    collect() {
      this.reset();
      this.inc(exporter.stats().exported);
    },
  });
  new Counter({
    name: 'mooring_trace_spans_dropped_total',
    help: 'Spans that did not reach the collector, by reason; not-made = messages whose steps could not be read',
    labelNames: ['reason'],
    registers,
    collect() {
      this.reset();
      for (const [reason, count] of exporter.stats().dropped) this.inc({ reason }, count);
    },
  });
  new Gauge({
    name: 'mooring_trace_spans_pending',
    help: 'Spans that wait for the collector',
    registers,
    collect() {
      this.set(exporter.stats().pending);
    },
  });
}
