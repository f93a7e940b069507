/** Settings that bound how many connections there are. */
import type { z } from 'zod';
import { limits } from '../../base/limits.ts';
import type { ConnectionLimits } from '../../protocols/shared/connection-gate.ts';
import { rate, whole } from './config-kinds.ts';
import type { SettingMeta } from './setting.ts';

const CONNECTIONS_MAX = 10_000_000;
const form = `a whole number from 1 to ${CONNECTIONS_MAX}`;

type Documented = <T extends z.ZodType>(schema: T, meta: SettingMeta) => T;

export function connectionSettings(documented: Documented) {
  return {
    connectionsMax: documented(whole(1, CONNECTIONS_MAX).optional(), {
      topic: 'Limits',
      meaning:
        'Connections of all ports together, but for the admin port. Further ones are closed at once. Never more than the ' +
        `files that the system lets the process open, less ${limits.descriptorsReserved} for the event log and the tables.`,
      otherwise: 'as many as the system allows',
      form,
    }),
    connectionsPerAddressMax: documented(rate(1, CONNECTIONS_MAX).default('off'), {
      topic: 'Limits',
      meaning:
        'Connections from one address. Leave it off where devices come through a gateway or a load balancer: they share ' +
        'its address.',
      form: `${form}, or off`,
    }),
    unprovedConnectionsMax: documented(whole(1, CONNECTIONS_MAX).default(limits.unprovedConnectionsMax), {
      topic: 'Limits',
      meaning:
        'Connections on which no client has proved yet who it is, TLS handshakes included. Beyond it a newcomer takes the ' +
        `place of one that has been silent for ${limits.unprovedSlowMs / 1000} s, or whose address has far more of them, or is closed.`,
      form,
    }),
  };
}

/**
 * The bounds of one thread of `threads`, which share out what the settings say.
 * @param descriptorsMax files that the process may have open; undefined = not known.
 */
export function connectionLimits(
  settings: {
    readonly connectionsMax?: number;
    readonly connectionsPerAddressMax: number | 'off';
    readonly unprovedConnectionsMax: number;
  },
  descriptorsMax: number | undefined,
  threads: number,
): ConnectionLimits {
  const possible = connectionsPossible(descriptorsMax);
  const share = (count: number): number => Math.ceil(count / threads);
  const { connectionsMax = possible, connectionsPerAddressMax: perAddress, unprovedConnectionsMax } = settings;
  const all = share(Math.min(connectionsMax, possible));
  return {
    connectionsMax: all,
    ...(perAddress !== 'off' && { connectionsPerAddressMax: share(perAddress) }),
    // Else strangers could have all places, and authenticated clients none.
    unprovedConnectionsMax: Math.min(share(unprovedConnectionsMax), Math.ceil(all * limits.unprovedShareMax)),
    connectionsPerDeviceMax: Math.min(limits.connectionsPerDeviceMax, Math.ceil(all / 4)),
    connectionsPerPolicyMax: Math.ceil(all * limits.connectionsPerPolicyShareMax),
  };
}

/** Connections that the process may have beside the files that it needs. */
export function connectionsPossible(descriptorsMax: number | undefined): number {
  if (descriptorsMax === undefined) return limits.connectionsUnknownMax;
  return Math.max(descriptorsMax - limits.descriptorsReserved, Math.ceil(descriptorsMax / 2));
}

/** How many files this process may have open; undefined where the platform does not tell. */
export function descriptorsMax(): number | undefined {
  // `excludeNetwork`: else the report looks up the names of all peers. The types of the runtime do not know it yet.
  const report = process.report as typeof process.report & { excludeNetwork: boolean };
  report.excludeNetwork = true;
  const { userLimits } = report.getReport() as { readonly userLimits?: { readonly open_files?: { soft?: unknown } } };
  const soft = userLimits?.open_files?.soft;
  return soft === 'unlimited' ? Number.POSITIVE_INFINITY : typeof soft === 'number' ? soft : undefined;
}
