/**
 * Refused operations as events. The rule, which `docs/monitoring.md` states:
 *
 * - Of what changes, sends, takes or opens something, every refusal is told: permission, argument, precondition, quota,
 *   a thing that is missing or exists already.
 * - Of a question (it reads, and leaves everything as it is) only a missing permission is told: that something is not
 *   there is an answer.
 * - What the hub itself could not do is in the log and in its health, and is no refusal of a rule. What cannot be read as
 *   an operation at all (no JSON, an unknown path) has not become one.
 */
import { HubError } from '../errors.ts';
import type { Attempt, Audit } from '../identity/guard.ts';
import { operationTable } from '../identity/operations.ts';
import { identityName, sameIdentity } from '../identity/permissions.ts';
import { clipped, concerning } from './concerned.ts';
import { recordDone } from './done-operations.ts';
import type { Concerned, Recorder } from './types.ts';

/** Records the refusals that the rule above wants told, and what back ends have changed (`done-operations.ts`). */
export function refusalAudit(recorder: Recorder): Audit {
  return {
    refused: (attempt, error) => reportRefusal(recorder, attempt, error),
    done: (attempt) => recordDone(recorder, attempt),
  };
}

/** Records `error` if the rule above says so. */
function reportRefusal(recorder: Recorder, attempt: Attempt, error: unknown): void {
  if (!(error instanceof HubError) || error.status >= 500) return;
  const { code, limit, reason } = error;
  if (error.status !== 401 && operationTable[attempt.operation].told === 'permission') return;
  recorder.record({
    ...(code === 'ThrottlingException'
      ? ({ type: 'throttled', effect: 'refused' } as const)
      : ({ type: 'operationRefused' } as const)),
    ...concernedBy(attempt),
    ...attempt.where,
    code,
    operation: attempt.operation,
    ...(limit !== undefined && {
      limit: { name: limit.name, scope: clipped(limit.scope), current: limit.current, max: limit.max },
    }),
    ...(reason !== undefined && { reason: clipped(reason) }),
  });
}

/** A back end by its policy, with the identity that it was about; a device itself, with `target` where it is another. */
function concernedBy({ principal, target }: Attempt): Concerned & { policyName?: string; target?: string } {
  if (principal?.kind === 'device') {
    const isOther = target !== undefined && !sameIdentity(principal.key, target);
    return { ...concerning(principal.key), ...(isOther && { target: clipped(identityName(target)) }) };
  }
  return {
    ...(target !== undefined && concerning(target)),
    ...(principal !== undefined && { policyName: clipped(principal.policyName) }),
    ...(principal?.peer !== undefined && { peer: clipped(principal.peer) }),
  };
}
