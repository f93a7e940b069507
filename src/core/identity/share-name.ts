import type { IdentityKey, Principal } from './types.ts';

/**
 * Whose share of a resource a principal uses. A module counts for its device, and a policy's token that is confined to one
 * device for that device: the device has such a token from its operator, in place of a key of its own.
 */
export function shareName(principal: Principal): string {
  if (principal.kind === 'device') return deviceShare(principal.key);
  const [kind, deviceId] = principal.scope;
  return kind === 'devices' && deviceId !== undefined ? deviceShare({ deviceId }) : `policy ${principal.policyName}`;
}

/** A module counts for its device. */
export const deviceShare = ({ deviceId }: IdentityKey): string => `device ${deviceId}`;

/** Whether a share is a back end's, which speaks for many, and not a device's. */
export const isPolicyShare = (name: string): boolean => name.startsWith('policy ');
