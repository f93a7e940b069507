/** What the hub's monitoring stream has kept. */
import { ask } from './api.ts';
import type { MonitoringEvent } from './parts/monitoring.ts';

export interface PastEvents {
  /** Newest first. */
  readonly events: readonly MonitoringEvent[];
  /** False: there may be older ones. */
  readonly isComplete: boolean;
}

/** Of one device, or of all. @throws Refusal */
export async function pastEvents(options: {
  readonly deviceId?: string;
  readonly limit?: number;
  readonly signal?: AbortSignal;
}): Promise<PastEvents> {
  const { deviceId, limit = 200, signal } = options;
  const query = { deviceId, limit: String(limit) };
  return (await ask<PastEvents>('GET', '/portal/monitoring', { query, ...(signal && { signal }) })).data;
}
