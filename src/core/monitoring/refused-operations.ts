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
import { identityName, type Operation, sameIdentity } from '../identity/permissions.ts';
import type { IdentityKey, Principal } from '../identity/types.ts';
import { clipped, concerning } from './concerned.ts';
import type { Concerned, Recorder } from './types.ts';

/** What was attempted: by whom, on which identity, from where, as far as that is known. */
export interface Attempt {
  readonly operation: Operation | 'connect' | 'commands.settle' | 'commands.read' | 'feedback.settle';
  readonly principal?: Principal;
  /** The identity that the operation is about; a door's key may be an object with more fields. */
  readonly target?: IdentityKey;
  readonly where?: Pick<Concerned, 'protocol' | 'credential' | 'peer'>;
  readonly isQuestion?: boolean;
}

/** Runs it; a refusal is recorded and thrown on. */
export function watched<Answer>(recorder: Recorder, attempt: Attempt, run: () => Answer): Answer {
  try {
    return run();
  } catch (error) {
    reportRefusal(recorder, attempt, error);
    throw error;
  }
}

export async function watchedAsync<Answer>(
  recorder: Recorder,
  attempt: Attempt,
  answer: Promise<Answer>,
): Promise<Answer> {
  try {
    return await answer;
  } catch (error) {
    reportRefusal(recorder, attempt, error);
    throw error;
  }
}

/** Records `error` if the rule above says so. */
export function reportRefusal(recorder: Recorder, attempt: Attempt, error: unknown): void {
  if (!(error instanceof HubError) || error.status >= 500) return;
  const { code, limit, reason } = error;
  if (attempt.isQuestion === true && error.status !== 401) return;
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
