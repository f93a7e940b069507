import { facts as factLines, paint } from '../output/table.ts';
import { count, duration, latency, rate } from '../output/values.ts';
import type { Output } from '../terminal.ts';
import type { Fleet, FleetFacts, FleetOptions } from './fleet.ts';

/** What a run came to. Times in milliseconds, rates in messages per second. */
export interface SimulationSummary {
  readonly devices: number;
  readonly connected: number;
  readonly sent: number;
  /** Absent at QoS 0, which knows no acknowledgement. */
  readonly acknowledged?: number;
  readonly unacknowledged: number;
  readonly behind: number;
  /** Where devices report: patches that were sent, taken and refused. */
  readonly reported?: number;
  readonly reportsAccepted?: number;
  readonly reportsRefused?: number;
  /** Where devices answer methods. */
  readonly methodsAnswered?: number;
  readonly errors: number;
  readonly lastError?: string;
  readonly durationMs: number;
  readonly sentPerSecond: number;
  readonly acknowledgedPerSecond?: number;
  readonly latencyMs?: { readonly p50: number; readonly p90: number; readonly p99: number; readonly max: number };
}

export function summaryOf(
  fleet: Fleet,
  atEnd: FleetFacts,
  { qos, reports, answersMethods }: Pick<FleetOptions, 'qos' | 'reports' | 'answersMethods'>,
  durationMs: number,
): SimulationSummary {
  const { latency: all } = fleet;
  const seconds = Math.max(durationMs, 1) / 1000;
  const rounded = (value: number): number => Math.round(value * 1000) / 1000;
  const p = (share: number): number => rounded(all.percentile(share) ?? 0);
  const now = fleet.facts();
  return {
    devices: now.devices,
    connected: atEnd.connected,
    sent: now.sent,
    ...(qos === 1 ? { acknowledged: now.acknowledged } : {}),
    unacknowledged: now.unacknowledged,
    behind: now.behind,
    ...(reports && {
      reported: now.reported,
      reportsAccepted: now.reportsAccepted,
      reportsRefused: now.reportsRefused,
    }),
    ...(answersMethods && { methodsAnswered: now.methodsAnswered }),
    errors: now.errors,
    ...(now.lastError === undefined ? {} : { lastError: now.lastError.message }),
    durationMs: Math.round(durationMs),
    sentPerSecond: rounded(atEnd.sent / seconds),
    ...(qos === 1 ? { acknowledgedPerSecond: rounded(atEnd.acknowledged / seconds) } : {}),
    ...(all.count === 0 ? {} : { latencyMs: { p50: p(0.5), p90: p(0.9), p99: p(0.99), max: rounded(all.max) } }),
  };
}

export function summaryText(output: Output, summary: SimulationSummary): string {
  const { latencyMs, lastError } = summary;
  const perSecond = (value: number | undefined): string => (value === undefined ? '' : `  (${rate(value)}/s)`);
  const warn = (value: number): string | undefined => (value === 0 ? undefined : paint(output, 'yellow', count(value)));
  return factLines(output, [
    ['devices', `${count(summary.devices)}  (${count(summary.connected)} connected at the end)`],
    ['duration', duration(summary.durationMs)],
    ['sent', count(summary.sent) + perSecond(summary.sentPerSecond)],
    [
      'acknowledged',
      summary.acknowledged === undefined
        ? undefined
        : count(summary.acknowledged) + perSecond(summary.acknowledgedPerSecond),
    ],
    ['not acknowledged', warn(summary.unacknowledged)],
    ['due, not sent', warn(summary.behind)],
    [
      'reported',
      summary.reported === undefined
        ? undefined
        : `${count(summary.reported)}  (${count(summary.reportsAccepted ?? 0)} taken, ${count(summary.reportsRefused ?? 0)} refused)`,
    ],
    ['methods answered', summary.methodsAnswered === undefined ? undefined : count(summary.methodsAnswered)],
    [
      'latency',
      latencyMs === undefined
        ? undefined
        : `p50 ${latency(latencyMs.p50)}, p90 ${latency(latencyMs.p90)}, p99 ${latency(latencyMs.p99)}, max ${latency(latencyMs.max)}`,
    ],
    ['errors', summary.errors === 0 ? undefined : `${warn(summary.errors)}  (the last: ${lastError})`],
  ]);
}

/** Makes the live line; rates and latencies are those since the line was last made. */
export function liveLine(fleet: Fleet, qos: 0 | 1): () => string {
  const startedAt = performance.now();
  let last = { at: startedAt, ...fleet.facts() };
  let rates = { sent: 0, acknowledged: 0 };
  return () => {
    const now = { at: performance.now(), ...fleet.facts() };
    const seconds = (now.at - last.at) / 1000;
    if (seconds > 0) {
      const { sent, acknowledged } = now;
      rates = { sent: (sent - last.sent) / seconds, acknowledged: (acknowledged - last.acknowledged) / seconds };
    }
    const [p50, p99] = [fleet.recent.percentile(0.5), fleet.recent.percentile(0.99)];
    fleet.recent.reset();
    last = now;
    return [
      duration(now.at - startedAt),
      `connected ${count(now.connected)}/${count(now.devices)}`,
      `sent ${count(now.sent)} (${rate(rates.sent)}/s)`,
      ...(qos === 1 ? [`acked ${count(now.acknowledged)} (${rate(rates.acknowledged)}/s)`] : []),
      ...(p50 === undefined || p99 === undefined ? [] : [`p50 ${latency(p50)} p99 ${latency(p99)}`]),
      `errors ${count(now.errors)}`,
    ].join(' · ');
  };
}
