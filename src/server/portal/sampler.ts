/**
 * What the hub measures of itself, for people who look: rates between two looks at the metrics' own counters. The overview is
 * looked at while a page shows it, the history each ten seconds; nothing is counted for either.
 */
import type { Registry } from 'prom-client';
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import type { EventLog } from '../../core/events/ports.ts';
import { diskRoom } from '../observe/health/disk-check.ts';
import type { Health } from '../observe/health/health.ts';
import {
  HistoryFile,
  type HistoryPoint,
  type HistoryValue,
  historyRings,
  historyValues,
  type Ring,
} from './history-file.ts';
import { OldestEvent } from './oldest-event.ts';

export interface SamplerParts {
  readonly hubName: string;
  readonly registry: Registry;
  readonly health: Pick<Health, 'report'>;
  /** The data folder. */
  readonly folder: string;
  readonly onDisk: readonly { stats(): { readonly bytes: number } }[];
  readonly file: string;
  readonly telemetry: Pick<EventLog, 'partitionCount' | 'partition' | 'read' | 'giveBack'>;
  readonly retentionDays: number;
  readonly clock: Clock;
  readonly log: Log;
}

/** Counters and gauges as they were at a time. */
interface Reading {
  /** Monotonic milliseconds. */
  readonly at: number;
  readonly connected: number | undefined;
  readonly messagesIn: number | undefined;
  readonly bytesIn: number | undefined;
  readonly messagesOut: number | undefined;
  readonly refused: number | undefined;
  /** Upper bounds in seconds, with how many were at or below each. */
  readonly latencies: readonly (readonly [le: number, count: number])[];
  readonly diskUsed: number | undefined;
  readonly diskFree: number | undefined;
}

/** An answer for a chart: one value of each series per step, null where nothing is known. */
export interface HistoryAnswer {
  readonly from: number;
  readonly stepMs: number;
  readonly series: Readonly<Record<HistoryValue, readonly (number | null)[]>>;
}

export class Sampler {
  readonly #parts: SamplerParts;
  readonly #file: HistoryFile;
  readonly #oldest: OldestEvent;
  readonly #begun = new Map<Ring, { readonly step: number; readonly reading: Reading }>();
  #lastShown: Reading | undefined;
  #cancel = (): void => {};

  private constructor(parts: SamplerParts, file: HistoryFile) {
    this.#parts = parts;
    this.#file = file;
    this.#oldest = new OldestEvent(parts.telemetry, parts.clock);
  }

  static async open(parts: SamplerParts): Promise<Sampler> {
    const sampler = new Sampler(
      parts,
      await HistoryFile.open(parts.file, (error) =>
        parts.log.warn({ error }, 'the history of the portal cannot be written: its charts are kept in memory alone'),
      ),
    );
    await sampler.#sample();
    sampler.#next();
    return sampler;
  }

  /** As pages show it: what has come since the last look of any page, per second. */
  async overview(): Promise<object> {
    const { clock, health, retentionDays } = this.#parts;
    const [reading, report, oldest] = await Promise.all([this.#read(), health.report(), this.#oldest.time()]);
    const before = this.#lastShown;
    // One of long ago says nothing of now.
    const isRecent = before !== undefined && reading.at - before.at < 5000;
    this.#lastShown = reading;
    const point = isRecent ? between(before, reading) : undefined;
    return {
      time: clock.now(),
      ...Object.fromEntries(historyValues.map((name) => [name, point?.[name] ?? gaugeOf(reading, name) ?? null])),
      retentionDays,
      oldestEventTime: oldest ?? null,
      ready: report.ready,
      status: report.status,
      checks: report.checks,
    };
  }

  /** @param from @param to UTC milliseconds; the finest steps that reach back so far, `points` at most */
  history(from: number, to: number, points: number): HistoryAnswer {
    const now = this.#parts.clock.now();
    const end = Math.min(to, now);
    const ring =
      historyRings.find(
        ({ stepMs, slots }) => from >= now - stepMs * slots && (end - from) / stepMs <= limits.historyPointsMax,
      ) ?? (historyRings.at(-1) as Ring);
    const oldest = now - ring.stepMs * ring.slots;
    const begin = Math.ceil(Math.max(from, oldest) / ring.stepMs) * ring.stepMs;
    const steps = Math.max(0, Math.floor((end - begin) / ring.stepMs) + 1);
    const merged = Math.max(1, Math.ceil(steps / Math.max(1, points)));
    const series = Object.fromEntries(historyValues.map((name) => [name, [] as (number | null)[]]));
    for (let step = 0; step < steps; step += merged) {
      const found = Array.from({ length: Math.min(merged, steps - step) }, (_, at) =>
        this.#file.at(ring, begin + (step + at) * ring.stepMs),
      );
      for (const name of historyValues) series[name].push(merge(name, found));
    }
    return {
      from: begin,
      stepMs: ring.stepMs * merged,
      series: series as unknown as HistoryAnswer['series'],
    };
  }

  async close(): Promise<void> {
    this.#cancel();
    await this.#file.close();
  }

  #next(): void {
    this.#cancel = this.#parts.clock.after(historyRings[0].stepMs, () => {
      this.#sample()
        .catch((error: unknown) => this.#parts.log.debug({ error }, 'the history of the portal could not be written'))
        .finally(() => this.#next());
    });
  }

  /** Writes the step that is under way of each ring, with what is known of it so far. */
  async #sample(): Promise<void> {
    const reading = await this.#read();
    const now = this.#parts.clock.now();
    for (const ring of historyRings) {
      const step = Math.floor(now / ring.stepMs) * ring.stepMs;
      const begun = this.#begun.get(ring);
      if (begun === undefined) {
        this.#begun.set(ring, { step, reading });
        continue;
      }
      // A reading on the way between two steps counts for the one that it ends.
      await this.#file.put(ring, begun.step, between(begun.reading, reading));
      if (step !== begun.step) this.#begun.set(ring, { step, reading });
    }
  }

  async #read(): Promise<Reading> {
    const { registry, hubName, folder, onDisk, clock } = this.#parts;
    const room = await diskRoom(folder).catch(() => undefined);
    const of = (name: string, labels?: Readonly<Record<string, string>>) => sumOf(registry, name, labels);
    const event_hub = hubName;
    const refusals = await Promise.all([
      of('mooring_authentication_failures_total'),
      of('mooring_operations_refused_total'),
      of('mooring_tls_handshakes_failed_total'),
    ]);
    return {
      connected: await of('mooring_devices_connected'),
      messagesIn: await of('mooring_events_stored_total', { event_hub }),
      bytesIn: await of('mooring_event_bytes_total', { event_hub }),
      messagesOut: await of('mooring_events_delivered_total'),
      refused: refusals.reduce<number>((sum, value) => sum + (value ?? 0), 0),
      latencies: await bucketsOf(registry, 'mooring_event_append_seconds', { event_hub }),
      diskUsed: onDisk.length === 0 ? undefined : onDisk.reduce((sum, each) => sum + each.stats().bytes, 0),
      diskFree: room?.freeBytes,
      at: clock.monotonic(),
    };
  }
}

const rates: ReadonlySet<HistoryValue> = new Set(['messagesIn', 'bytesIn', 'messagesOut', 'refused']);

function gaugeOf(reading: Reading, name: HistoryValue): number | undefined {
  if (name === 'connected' || name === 'diskUsed' || name === 'diskFree') return reading[name];
  return undefined;
}

function between(before: Reading, after: Reading): HistoryPoint {
  const seconds = Math.max(0.001, (after.at - before.at) / 1000);
  const rate = (name: 'messagesIn' | 'bytesIn' | 'messagesOut' | 'refused'): number | undefined => {
    const [a, b] = [before[name], after[name]];
    return a === undefined || b === undefined ? undefined : Math.max(0, b - a) / seconds;
  };
  const earlier = new Map(before.latencies);
  const counts = after.latencies.map(([le, count]) => [le, count - (earlier.get(le) ?? 0)] as const);
  return {
    connected: after.connected,
    messagesIn: rate('messagesIn'),
    bytesIn: rate('bytesIn'),
    messagesOut: rate('messagesOut'),
    refused: rate('refused'),
    latencyP50: percentile(counts, 0.5),
    latencyP99: percentile(counts, 0.99),
    diskUsed: after.diskUsed,
    diskFree: after.diskFree,
  };
}

/** Within a bucket as if its values were spread evenly. @param counts at or below each bound @returns milliseconds */
export function percentile(
  counts: readonly (readonly [le: number, count: number])[],
  share: number,
): number | undefined {
  const total = counts.at(-1)?.[1] ?? 0;
  if (total <= 0) return undefined;
  const wanted = total * share;
  let [low, below] = [0, 0];
  for (const [le, count] of counts) {
    if (count >= wanted) {
      // Beyond the last bound nothing more is known.
      if (!Number.isFinite(le)) return low * 1000;
      return (low + ((le - low) * (wanted - below)) / Math.max(1, count - below)) * 1000;
    }
    [low, below] = [le, count];
  }
  return low * 1000;
}

/** Of several steps as one: the mean, of a latency the worst. */
function merge(name: HistoryValue, points: readonly (HistoryPoint | undefined)[]): number | null {
  const known = points.map((point) => point?.[name]).filter((value) => value !== undefined);
  if (known.length === 0) return null;
  if (name === 'latencyP50' || name === 'latencyP99') return Math.max(...known);
  const mean = known.reduce((sum, value) => sum + value, 0) / known.length;
  return rates.has(name) ? mean : Math.round(mean);
}

interface Value {
  readonly value: number;
  readonly metricName?: string;
  readonly labels: Readonly<Record<string, string | number | undefined>>;
}

async function valuesOf(registry: Registry, name: string, labels: Readonly<Record<string, string>> = {}) {
  const metric = registry.getSingleMetric(name);
  if (metric === undefined) return undefined;
  const { values } = (await metric.get()) as { readonly values: readonly Value[] };
  return values.filter((each) => Object.entries(labels).every(([label, value]) => each.labels[label] === value));
}

async function sumOf(registry: Registry, name: string, labels?: Readonly<Record<string, string>>) {
  const values = await valuesOf(registry, name, labels);
  return values?.reduce((sum, { value }) => sum + value, 0);
}

async function bucketsOf(registry: Registry, name: string, labels: Readonly<Record<string, string>>) {
  const values = (await valuesOf(registry, name, labels)) ?? [];
  return values
    .filter(({ labels: { le } }) => le !== undefined)
    .map(({ labels: { le }, value }) => [le === '+Inf' ? Number.POSITIVE_INFINITY : Number(le), value] as const)
    .sort((a, b) => a[0] - b[0]);
}
