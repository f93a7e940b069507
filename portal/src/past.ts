/** What the hub's monitoring stream has kept of one device. */
import { api } from './api.ts';

export interface ConnectionEvent {
  readonly time: string;
  readonly type: 'connected' | 'disconnected';
  readonly reason?: string;
  readonly detail?: string;
  readonly credential?: string;
  readonly moduleId?: string;
  readonly protocol?: string;
  readonly peer?: string;
}

/** A refusal, or several alike, in a sentence with what to do. */
export interface RefusalEvent {
  /** Of the last one. */
  readonly time: string;
  readonly count: number;
  readonly type: 'authenticationFailed' | 'operationRefused' | 'throttled';
  readonly code: string;
  /** `backEnd`: a back end asked for something of the device. */
  readonly by: 'device' | 'backEnd';
  readonly moduleId?: string;
  readonly protocol?: string;
  readonly peer?: string;
  readonly sentence: string;
  readonly remedy: string;
}

export interface Past {
  readonly connections: readonly ConnectionEvent[];
  readonly refusals: readonly RefusalEvent[];
  /** What is older was not looked at; undefined = all that is kept was. */
  readonly lookedSince: string | undefined;
}

/** Newest first. @throws Refusal */
export async function pastOf(deviceId: string, signal: AbortSignal): Promise<Past> {
  const query = { deviceId };
  type Connections = { readonly events: readonly ConnectionEvent[]; readonly lookedSince?: string };
  type Refusals = { readonly refusals: readonly RefusalEvent[] };
  const [connections, refusals] = await Promise.all([
    api<Connections>('GET', '/mooring/v1/connections', { query, signal }),
    api<Refusals>('GET', '/mooring/v1/refusals', { query, signal }),
  ]);
  const { events, lookedSince } = connections.data;
  return { connections: events, refusals: refusals.data.refusals, lookedSince };
}
