import { limits } from '../../base/limits.ts';
import { type CheckResult, fine, type HealthCheck } from '../observe/health/health.ts';
import type { EndpointFacts } from './endpoint-run.ts';

/**
 * Whether endpoints take their events. One that does not is a warning, never a failure: devices are served all the same. The warning comes
 * long before retention takes what waits.
 */
export function deliveryCheck(facts: () => readonly EndpointFacts[], retentionMs: number): HealthCheck {
  return {
    name: 'endpoints',
    look(): CheckResult {
      const all = facts();
      const late = all.find(
        ({ behindMs, missed }) => missed > 0 || behindMs > retentionMs * limits.deliveryLagWarnShare,
      );
      if (late !== undefined) return { status: 'warn', reason: lateReason(late), remedy: remedyOf(late) };
      const failing = all.find(({ condition }) => condition.health === 'dead' || condition.health === 'degraded');
      if (failing === undefined) return fine;
      const { name, condition } = failing;
      const since = new Date(condition.failingSince ?? condition.since).toISOString();
      const reason = `the endpoint ${name} has taken no events since ${since}: ${condition.reason}`;
      return { status: 'warn', reason, remedy: remedyOf(failing) };
    },
  };
}

function lateReason({ name, behindMs, missed }: EndpointFacts): string {
  if (missed > 0) return `${missed} events for the endpoint ${name} were removed by retention before it took them`;
  return `the endpoint ${name} is ${Math.round(behindMs / 3_600_000)} hours behind: retention will take what waits for it`;
}

const remedyOf = ({ name }: EndpointFacts): string =>
  `See to what stands behind it (mooring route endpoints says what it answers), remove the endpoint ${name}, or keep events for longer (retentionDays).`;
