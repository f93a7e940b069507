/**
 * Where everything that is worth telling comes together. A report is given its time and its number, alike failures are
 * summed, and the event goes to all watchers: the stream, the detections, metrics, clients of the admin port.
 *
 * `record` is synchronous and never throws; a watcher that fails is logged and does not keep the others from hearing.
 */
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { type Log, silentLog } from '../../base/log.ts';
import { monitoringKinds } from './kinds.ts';
import { maskPeer, type PeerShown } from './mask.ts';
import { Numbers } from './numbers.ts';
import { type SummedEvent, Sums } from './sums.ts';
import type { MonitoringEvent, MonitoringReport, Recorder, RefusedBy, Summed } from './types.ts';

export interface Monitor extends Recorder {
  /** Calls `listener` with every event from now on. It must be quick. The returned function ends it. */
  watch(listener: (event: MonitoringEvent) => void): () => void;
  /** Tells the sums that are open. */
  flush(): void;
  /** Sources whose failures are being summed now. */
  openSums(): number;
}

export interface MonitorParts {
  readonly clock: Clock;
  readonly log?: Log;
  /** UTC milliseconds that all events of earlier runs lie before: numbers go on from there. */
  readonly startTime: number;
  /** How many events earlier runs have stored; never less than at an earlier start. */
  readonly earlierEvents?: number;
  readonly peer?: PeerShown;
  readonly windowMs?: number;
  readonly sourcesPerAddressMax?: number;
  readonly addressesMax?: number;
}

export function createMonitor(parts: MonitorParts): Monitor {
  const { clock } = parts;
  const log = parts.log ?? silentLog;
  const shown = parts.peer ?? 'full';
  const numbers = new Numbers(parts.startTime, limits.monitoringNumbersMax, parts.earlierEvents);
  const listeners = new Set<(event: MonitoringEvent) => void>();

  const tell = (report: MonitoringReport, summed?: Summed): void => {
    const { peer, ...rest } = report;
    const masked = peer === undefined ? undefined : maskPeer(peer, shown);
    const event = {
      ...rest,
      ...(masked !== undefined && { peer: masked }),
      ...summed,
      time: report.time ?? summed?.last ?? clock.now(),
      sequenceNumber: numbers.next(nameOf(report)),
    } as MonitoringEvent;
    for (const listener of listeners) {
      try {
        listener(event);
      } catch (error) {
        log.error({ type: event.type, error }, 'a watcher of the monitoring events failed');
      }
    }
  };

  const sums = new Sums<MonitoringReport>({
    clock,
    windowMs: parts.windowMs ?? limits.monitoringWindowMs,
    sourcesPerAddressMax: parts.sourcesPerAddressMax ?? limits.monitoringSourcesPerAddressMax,
    addressesMax: parts.addressesMax ?? limits.monitoringAddressesMax,
    tell,
    widen: widened,
  });

  return {
    record(report) {
      try {
        if (monitoringKinds[report.type].summed) sums.add(report, summedBy(report));
        else tell(report);
      } catch (error) {
        log.error({ type: report.type, error }, 'an event could not be recorded');
      }
    },
    watch(listener) {
      const own = (event: MonitoringEvent): void => listener(event);
      listeners.add(own);
      return () => void listeners.delete(own);
    },
    flush: () => sums.flush(),
    openSums: () => sums.size,
  };
}

/** Whose events are numbered together: a device's with those of its modules. */
const nameOf = ({ deviceId }: MonitoringReport): string => deviceId ?? '';

function summedBy(report: MonitoringReport): SummedEvent {
  const { type, deviceId = '', moduleId = '', peer: address = '' } = report;
  const { what, alike } = likeness(report);
  return { address, source: `${type} ${what} ${deviceId}/${moduleId}`, alike: `${type} ${alike}` };
}

/** `what` is the same in all events of one source that are summed, `alike` in those of many sources. */
function likeness(report: MonitoringReport): { readonly what: string; readonly alike: string } {
  switch (report.type) {
    case 'authenticationFailed':
      return { what: `${report.check} ${report.policyName ?? ''}`, alike: report.check };
    case 'handshakeFailed':
      return { what: `${report.port} ${report.reason}`, alike: `${report.port} ${report.reason}` };
    case 'throttled':
      if (report.effect === 'slowed')
        return { what: `slowed ${report.limit.name}`, alike: `slowed ${report.limit.name}` };
      return { what: refusedBy(report), alike: report.code };
    case 'operationRefused':
      return { what: refusedBy(report), alike: report.code };
    default:
      return { what: '', alike: '' };
  }
}

const refusedBy = ({ operation, code, limit, reason, policyName }: RefusedBy): string =>
  `${operation} ${code} ${limit?.name ?? reason ?? ''} ${policyName ?? ''}`;

/** What many sources share of one report. */
function widened(report: MonitoringReport, to: 'address' | 'hub'): MonitoringReport {
  const { peer, protocol } = report;
  const place = to === 'address' && peer !== undefined ? { peer, ...(protocol && { protocol }) } : {};
  switch (report.type) {
    case 'authenticationFailed':
      return { type: report.type, check: report.check, ...place };
    case 'handshakeFailed':
      return { type: report.type, port: report.port, reason: report.reason, ...place };
    case 'operationRefused':
      return { type: report.type, code: report.code, operation: 'several', ...place };
    case 'throttled': {
      const { type, effect } = report;
      if (effect === 'refused') return { type, effect, code: report.code, operation: 'several', ...place };
      const { operation, limit } = report;
      return { type, effect, operation, limit: { ...limit, scope: 'several devices' }, ...place };
    }
    default:
      return report;
  }
}
