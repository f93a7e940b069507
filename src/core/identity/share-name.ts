import { identityName } from './permissions.ts';
import type { Principal } from './types.ts';

/**
 * Whose share of a resource a principal uses. A module counts for its device, and a policy's token that is confined to one
 * device for that device: the device has such a token from its operator, in place of a key of its own.
 */
export function shareName(principal: Principal): string {
  if (principal.kind === 'device') return `device ${identityName({ deviceId: principal.key.deviceId })}`;
  const [kind, deviceId] = principal.scope;
  return kind === 'devices' && deviceId !== undefined ? `device ${deviceId}` : `policy ${principal.policyName}`;
}

/** Whether a share is a back end's, which speaks for many, and not a device's. */
export const isPolicyShare = (name: string): boolean => name.startsWith('policy ');
