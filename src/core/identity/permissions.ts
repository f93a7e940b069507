import { HubError } from '../errors.ts';
import { type Operation, type OperationRule, operationTable } from './operations.ts';
import type { IdentityKey, Permission, Principal, Proof } from './types.ts';

/** A place that belongs to no identity: the path segments behind the host, as `['myhub', 'ConsumerGroups', '$Default']`. */
export interface HubPlace {
  readonly path: readonly string[];
}

/**
 * Lets `principal` do `operation` to `target` (the identity or the place it concerns, where it concerns one) or refuses.
 * To be called by the guard only, which tells of refusals.
 * @throws HubError IotHubUnauthorizedAccess; IotHubUnauthorized when the proof has ended at `now` (UTC milliseconds).
 */
export function authorize(
  principal: Principal,
  operation: Operation,
  now: number,
  target?: IdentityKey | HubPlace,
): void {
  demandProof(principal, now);
  if (!isAllowed(principal, operation, target)) {
    throw new HubError('IotHubUnauthorizedAccess', `This credential does not allow ${operation}.`, {
      reason: 'missing-permission',
    });
  }
}

/** The same as a question, for those who hold several proofs: an error for each that does not allow it costs far more. */
export function isAuthorized(
  principal: Principal,
  operation: Operation,
  now: number,
  target?: IdentityKey | HubPlace,
): boolean {
  return principal.expiresAt > now && isAllowed(principal, operation, target);
}

/** @throws HubError IotHubUnauthorized when the proof has ended at `now` (UTC milliseconds) */
export function demandProof({ expiresAt }: Proof, now: number): void {
  if (expiresAt <= now) throw proofEnded();
}

/** For the hot path, which compares by itself. */
export const proofEnded = (): HubError => new HubError('IotHubUnauthorized', undefined, { reason: 'expired-token' });

function isAllowed(principal: Principal, operation: Operation, target: IdentityKey | HubPlace | undefined): boolean {
  const rule: OperationRule = operationTable[operation];
  if (principal.kind === 'device') {
    return rule.self && target !== undefined && !('path' in target) && sameIdentity(principal.key, target);
  }
  const holds = (permissions: readonly Permission[]): boolean =>
    permissions.every((permission) => principal.permissions.has(permission));
  const isPermitted =
    (typeof rule.policy === 'string' ? principal.permissions.has(rule.policy) : holds(rule.policy)) ||
    (rule.orPolicy !== undefined && holds(rule.orPolicy));
  return isPermitted && inScope(principal.scope, operation, target);
}

/** What Event Hubs SDKs do with a token for the event endpoint, whose scope is an event hub or a part of it. */
const eventOperations: ReadonlySet<Operation> = new Set(['events.read', 'eventHubs.read', 'consumerGroups.read']);

/** Documented endpoints of the hub to which a policy's token may be confined, by the operations that they serve. */
const endpointsOf: Partial<Record<Operation, readonly (readonly string[])[]>> = {
  'commands.send': [['messages', 'deviceBound']],
  'feedback.receive': [['messages', 'serviceBound', 'feedback']],
  'feedback.settle': [['messages', 'serviceBound', 'feedback']],
  'statistics.read': [
    ['statistics', 'devices'],
    ['statistics', 'service'],
  ],
};

/**
 * A policy token may be confined to `devices`, one device or one module (device reference 1.5), or to an event hub or a
 * part of it (service reference 1.3), or to one of those endpoints. A caller that knows the place states it, and then the scope
 * must cover it. Without a place, a token of the second kind may still read events, and nothing else; one of the first kind
 * may do nothing.
 */
function inScope(scope: readonly string[], operation: Operation, target: IdentityKey | HubPlace | undefined): boolean {
  if (scope.length === 0) return true;
  if (endpointsOf[operation]?.some((endpoint) => covers(scope, endpoint))) return true;
  if (target === undefined) return scope[0] !== 'devices' && eventOperations.has(operation);
  return covers(scope, 'path' in target ? target.path : pathOf(target));
}

/** `devices/{d}` or `devices/{d}/modules/{m}`, as segments. */
export function pathOf(key: IdentityKey): readonly string[] {
  const device = ['devices', key.deviceId];
  return key.moduleId === undefined ? device : [...device, 'modules', key.moduleId];
}

/** Whether `prefix` covers `path` by whole segments; only identities' ids are case-sensitive. */
export function covers(prefix: readonly string[], path: readonly string[]): boolean {
  const exact = prefix[0] === 'devices';
  return (
    prefix.length <= path.length &&
    prefix.every((segment, at) => segment === path[at] || (!exact && segment.toLowerCase() === path[at].toLowerCase()))
  );
}

export function sameIdentity(a: IdentityKey, b: IdentityKey): boolean {
  return a.deviceId === b.deviceId && a.moduleId === b.moduleId;
}

/** `d1` or `d1/m1`: for logs, maps and messages. A device id cannot hold a slash. */
export function identityName(key: IdentityKey): string {
  return key.moduleId === undefined ? key.deviceId : `${key.deviceId}/${key.moduleId}`;
}
