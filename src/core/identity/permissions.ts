import { HubError } from '../errors.ts';
import type { IdentityKey, Permission, Principal } from './types.ts';

/** Everything that anybody can ask of the hub. A door names one of these; nothing is allowed that is not listed. */
export type Operation =
  | 'registry.read'
  | 'registry.write'
  | 'statistics.read'
  | 'telemetry.send'
  | 'commands.receive'
  | 'commands.send'
  | 'commands.purge'
  | 'feedback.receive'
  | 'events.read'
  | 'consumerGroups.read'
  | 'consumerGroups.write'
  | 'hub.read';

/**
 * Who may do what (service reference 1.5): the permission that a policy needs, and whether a device or module may do
 * it to itself. A device never acts for another identity, nor for its own modules.
 */
const table: Readonly<Record<Operation, { readonly policy: Permission; readonly self: boolean }>> = {
  'registry.read': { policy: 'RegistryRead', self: false },
  'registry.write': { policy: 'RegistryWrite', self: false },
  'statistics.read': { policy: 'RegistryRead', self: false },
  'telemetry.send': { policy: 'DeviceConnect', self: true },
  'commands.receive': { policy: 'DeviceConnect', self: true },
  'commands.send': { policy: 'ServiceConnect', self: false },
  'commands.purge': { policy: 'ServiceConnect', self: false },
  'feedback.receive': { policy: 'ServiceConnect', self: false },
  'events.read': { policy: 'ServiceConnect', self: false },
  'consumerGroups.read': { policy: 'ServiceConnect', self: false },
  'consumerGroups.write': { policy: 'RegistryWrite', self: false },
  'hub.read': { policy: 'RegistryRead', self: false },
};

/** Every operation there is, for the access matrix. */
export const operations = Object.keys(table) as readonly Operation[];

/**
 * Lets `principal` do `operation` to `target` (the identity it concerns, where it concerns one) or refuses.
 * @throws HubError IotHubUnauthorizedAccess; IotHubUnauthorized when the proof has ended at `now` (UTC milliseconds).
 */
export function authorize(principal: Principal, operation: Operation, now: number, target?: IdentityKey): void {
  if (principal.expiresAt <= now) throw new HubError('IotHubUnauthorized', undefined, { reason: 'expired-token' });
  if (!isAllowed(principal, operation, target)) {
    throw new HubError('IotHubUnauthorizedAccess', `This credential does not allow ${operation}.`, {
      reason: 'missing-permission',
    });
  }
}

function isAllowed(principal: Principal, operation: Operation, target: IdentityKey | undefined): boolean {
  const rule = table[operation];
  if (principal.kind === 'device') {
    return rule.self && target !== undefined && sameIdentity(principal.key, target);
  }
  return principal.permissions.has(rule.policy) && inScope(principal.scope, target);
}

/** A policy token may be confined to `devices`, one device or one module (device reference 1.5). */
function inScope(scope: readonly string[], target: IdentityKey | undefined): boolean {
  if (scope.length === 0) return true;
  if (target === undefined) return false;
  const path = ['devices', target.deviceId];
  if (target.moduleId !== undefined) path.push('modules', target.moduleId);
  return scope.length <= path.length && scope.every((segment, at) => segment === path[at]);
}

export function sameIdentity(a: IdentityKey, b: IdentityKey): boolean {
  return a.deviceId === b.deviceId && a.moduleId === b.moduleId;
}

/** `d1` or `d1/m1`: for logs, maps and messages. A device id cannot hold a slash. */
export function identityName(key: IdentityKey): string {
  return key.moduleId === undefined ? key.deviceId : `${key.deviceId}/${key.moduleId}`;
}
