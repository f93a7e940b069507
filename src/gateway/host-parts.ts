/** What every host gives an adapter alike: listeners, numbers, the adapter's word on its health. */
import { limits } from '../base/limits.ts';
import { createListeners, type ListenersParts, type OpenListeners } from './listeners.ts';
import type { Listening } from './sockets.ts';
import type { Host, HostLimits, Metrics } from './types.ts';

export const hostLimits: HostLimits = {
  messageBytesMax: limits.telemetryBytesMax,
  sessionsMax: limits.adapterSessionsMax,
  memoryKeysMax: limits.adapterMemoryKeysMax,
  memoryValueBytesMax: limits.adapterMemoryValueBytesMax,
  filePartBytesMax: limits.adapterFilePartBytesMax,
};

export type Health = { readonly status: 'ok' | 'warn' | 'fail'; readonly text: string };

export interface HostParts extends Pick<Host, 'metrics' | 'health'> {
  readonly listeners: OpenListeners;
  /** The adapter's own numbers by name, and what its listeners have refused as `refused_<word>`. Counts only grow. */
  readonly numbers: ReadonlyMap<string, number>;
  /** Names of `numbers` that were set, not counted. */
  readonly gauges: ReadonlySet<string>;
  told(): Health;
}

export interface HostPartsNeeds extends Omit<ListenersParts, 'count'> {
  /** A listener is open. */
  readonly listening?: (where: Pick<Listening, 'host' | 'port'>) => void;
  /** The adapter has said something new of its health. */
  readonly healthTold?: (health: Health) => void;
}

export function createHostParts(needs: HostPartsNeeds): HostParts {
  const numbers = new Map<string, number>();
  const gauges = new Set<string>();
  let health: Health = { status: 'ok', text: '' };
  const set = (name: string, change: (value: number) => number): void => {
    const known = numbers.get(name);
    if (known === undefined && (numbers.size >= limits.adapterMetricsMax || !/^[a-z][a-z0-9_]{0,62}$/i.test(name)))
      return;
    const value = change(known ?? 0);
    if (Number.isFinite(value)) numbers.set(name, value);
  };
  const metrics: Metrics = {
    count: (name, by = 1) => {
      if (by >= 0) set(name, (value) => value + by);
    },
    gauge(name, value) {
      gauges.add(name);
      set(name, () => value);
    },
  };
  const listeners = createListeners({ ...needs, count: (what) => metrics.count(`refused_${what}`) });
  return {
    metrics,
    numbers,
    gauges,
    listeners: {
      ...listeners,
      async tcp(options, serve) {
        const listening = await listeners.tcp(options, serve);
        needs.listening?.(listening);
        return listening;
      },
      async udp(options, serve) {
        const listening = await listeners.udp(options, serve);
        needs.listening?.(listening);
        return listening;
      },
    },
    health(status, text) {
      health = { status, text: text.slice(0, limits.adapterAddressCharsMax) };
      needs.healthTold?.(health);
    },
    told: () => health,
  };
}
