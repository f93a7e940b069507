import type { HostNames } from '../../../core/identity/host-names.ts';
import type { IdentityKey } from '../../../core/identity/types.ts';
import type { AmqpValue } from '../../../wire/amqp/values.ts';

/** Offered in this order: some clients take the first that they know (service reference 1.2). */
export const saslMechanisms = ['MSSBCBS', 'PLAIN', 'ANONYMOUS', 'EXTERNAL'] as const;

export type SaslInit =
  | { readonly kind: 'anonymous' }
  | { readonly kind: 'plain'; readonly user: string; readonly password: string };

/** Fields of a sasl-init; undefined = a mechanism that is not offered, or bytes that are none of its own. */
export function readSaslInit(fields: readonly AmqpValue[]): SaslInit | undefined {
  const [mechanism, response] = fields;
  if (mechanism === 'MSSBCBS' || mechanism === 'ANONYMOUS' || mechanism === 'EXTERNAL') return { kind: 'anonymous' };
  if (mechanism !== 'PLAIN' || !Buffer.isBuffer(response)) return undefined;
  // RFC 4616: [authzid] NUL authcid NUL passwd. Each is decoded by itself: the user's name is kept for a while when it is
  // refused, and as a part of a longer text it would keep the password.
  const first = response.indexOf(0);
  const second = response.indexOf(0, first + 1);
  if (first < 0 || second < 0 || response.includes(0, second + 1)) return undefined;
  return {
    kind: 'plain',
    user: response.toString('utf8', first + 1, second),
    password: response.toString('utf8', second + 1),
  };
}

export type PlainUser =
  | { readonly kind: 'policyToken'; readonly policyName: string }
  | { readonly kind: 'deviceToken'; readonly key: IdentityKey }
  | { readonly kind: 'policyKey'; readonly policyName: string };

const HUB_POLICY = '@sas.root.';
const DEVICE = '@sas.';

/**
 * What a PLAIN user name says of its password (service reference 1.2): `{policy}@sas.root.{hub}` and `{device}@sas.{hub}`
 * come with a token, a bare policy name with the key itself. Undefined = names another hub.
 */
export function readPlainUser(user: string, hostNames: HostNames): PlainUser | undefined {
  const policyEnd = user.lastIndexOf(HUB_POLICY);
  if (policyEnd > 0) {
    const hub = user.slice(policyEnd + HUB_POLICY.length);
    return hostNames.acceptsHubName(hub) ? { kind: 'policyToken', policyName: user.slice(0, policyEnd) } : undefined;
  }
  const deviceEnd = user.lastIndexOf(DEVICE);
  if (deviceEnd > 0) {
    if (!hostNames.acceptsHubName(user.slice(deviceEnd + DEVICE.length))) return undefined;
    const [deviceId, modules, moduleId, ...rest] = user.slice(0, deviceEnd).split('/');
    if (modules === undefined) return { kind: 'deviceToken', key: { deviceId } };
    const isModule = modules === 'modules' && moduleId !== undefined && moduleId !== '' && rest.length === 0;
    return isModule ? { kind: 'deviceToken', key: { deviceId, moduleId } } : undefined;
  }
  return { kind: 'policyKey', policyName: user };
}
