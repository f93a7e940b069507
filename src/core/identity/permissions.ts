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
  | 'hub.read'
  | 'authorities.read'
  | 'authorities.write'
  | 'serverAuthority.read'
  | 'serverAuthority.write';

/**
 * Who may do what (service reference 1.5): the permission that a policy needs (or all of several), and whether a device or module may do
 * it to itself. A device never acts for another identity, nor for its own modules.
 */
const table: Readonly<
  Record<Operation, { readonly policy: Permission | readonly Permission[]; readonly self: boolean }>
> = {
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
  'authorities.read': { policy: 'RegistryRead', self: false },
  'authorities.write': { policy: 'RegistryWrite', self: false },
  'serverAuthority.read': { policy: 'RegistryRead', self: false },
  // It concerns whoever connects in whatever way: only who may do everything may do it.
  'serverAuthority.write': {
    policy: ['RegistryRead', 'RegistryWrite', 'ServiceConnect', 'DeviceConnect'],
    self: false,
  },
};

/** Every operation there is, for the access matrix. */
export const operations = Object.keys(table) as readonly Operation[];

/** A place that belongs to no identity: the path segments behind the host, as `['myhub', 'ConsumerGroups', '$Default']`. */
export interface HubPlace {
  readonly path: readonly string[];
}

/**
 * Lets `principal` do `operation` to `target` (the identity or the place it concerns, where it concerns one) or refuses.
 * @throws HubError IotHubUnauthorizedAccess; IotHubUnauthorized when the proof has ended at `now` (UTC milliseconds).
 */
export function authorize(
  principal: Principal,
  operation: Operation,
  now: number,
  target?: IdentityKey | HubPlace,
): void {
  if (principal.expiresAt <= now) throw new HubError('IotHubUnauthorized', undefined, { reason: 'expired-token' });
  if (!isAllowed(principal, operation, target)) {
    throw new HubError('IotHubUnauthorizedAccess', `This credential does not allow ${operation}.`, {
      reason: 'missing-permission',
    });
  }
}

function isAllowed(principal: Principal, operation: Operation, target: IdentityKey | HubPlace | undefined): boolean {
  const rule = table[operation];
  if (principal.kind === 'device') {
    return rule.self && target !== undefined && !('path' in target) && sameIdentity(principal.key, target);
  }
  const isPermitted =
    typeof rule.policy === 'string'
      ? principal.permissions.has(rule.policy)
      : rule.policy.every((permission) => principal.permissions.has(permission));
  return isPermitted && inScope(principal.scope, operation, target);
}

/** What Event Hubs SDKs do with a token for the event endpoint, whose scope is an event hub or a part of it. */
const eventOperations: ReadonlySet<Operation> = new Set(['events.read', 'consumerGroups.read']);

/**
 * A policy token may be confined to `devices`, one device or one module (device reference 1.5), or to an event hub or a
 * part of it (service reference 1.3). Whoever knows the place states it, and then the scope must cover it. Without a
 * place, a token of the second kind may still read events, and nothing else; one of the first kind may do nothing.
 */
function inScope(scope: readonly string[], operation: Operation, target: IdentityKey | HubPlace | undefined): boolean {
  if (scope.length === 0) return true;
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
