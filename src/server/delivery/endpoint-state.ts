/** What an operator hears of an endpoint. Pure: the time is given. */
import { limits } from '../../base/limits.ts';
import type { EndpointHealth } from '../../core/routes/states.ts';

export interface EndpointCondition {
  readonly health: EndpointHealth;
  /** UTC milliseconds from which on it is so. */
  readonly since: number;
  /** Why, unless it is healthy. */
  readonly reason?: string;
  /** UTC milliseconds of the first failure since the last success. */
  readonly failingSince?: number;
}

export const untried = (now: number): EndpointCondition => ({ health: 'unknown', since: now });

export function afterSuccess(before: EndpointCondition, now: number): EndpointCondition {
  return before.health === 'healthy' ? before : { health: 'healthy', since: now };
}

export function afterFailure(before: EndpointCondition, reason: string, now: number): EndpointCondition {
  const failingSince = before.failingSince ?? now;
  const health = now - failingSince >= limits.endpointDeadMs ? 'dead' : 'degraded';
  const since = before.health === health ? before.since : now;
  return { health, since, reason, failingSince };
}

/** Pause before the next try. @param failures in a row, from 1 @param chance from 0 to 1 */
export function retryPauseMs(failures: number, askedMs: number | undefined, chance: number): number {
  const full = Math.min(limits.deliveryRetryMsMin * 2 ** Math.min(failures - 1, 30), limits.deliveryRetryMsMax);
  // Not all endpoints that one outage has stopped come back at the same moment.
  return Math.max(askedMs ?? 0, full * (0.75 + chance / 4));
}
