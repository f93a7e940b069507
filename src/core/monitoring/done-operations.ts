/**
 * What back ends have changed, as events: which operation, of what, by which policy, and through which session of the portal. Told of
 * callers of the REST API and the portal (`PolicyPrincipal.audited`), where people and tools work; what back ends stream over AMQP
 * is in the trails of commands and in the counts.
 */
import type { Attempt } from '../identity/guard.ts';
import { type Operation, type OperationRule, operationTable } from '../identity/operations.ts';
import { clipped, concerning } from './concerned.ts';
import type { Recorder } from './types.ts';

/** They take what waits, or settle it: nothing of the hub is changed by them, and they are done all the time. */
const notTold: ReadonlySet<Operation> = new Set([
  'events.read',
  'feedback.receive',
  'feedback.settle',
  'fileNotifications.receive',
  'fileNotifications.settle',
  'sharedKeys.derive',
]);

/** Whether it is told when it is done. */
export function isAudited(operation: Operation): boolean {
  const rule: OperationRule = operationTable[operation];
  return rule.told === 'all' && !rule.self && !notTold.has(operation);
}

export function recordDone(recorder: Recorder, { operation, principal, target }: Attempt): void {
  if (principal?.kind !== 'policy' || principal.audited !== true || !isAudited(operation)) return;
  recorder.record({
    type: 'operationDone',
    ...(target !== undefined && concerning(target)),
    ...(principal.peer !== undefined && { peer: clipped(principal.peer) }),
    operation,
    policyName: clipped(principal.policyName),
    ...(principal.session !== undefined && { session: principal.session }),
  });
}
