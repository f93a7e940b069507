import { limits } from '../../base/limits.ts';
import type { Random } from '../../base/random.ts';
import { HubError } from '../errors.ts';
import { identityName } from './permissions.ts';
import type { IdentityStore } from './ports.ts';
import type { IdentityDraft, WhichKeys } from './registry-room.ts';
import { carryOut, keyOf, notFound, type RegistryLimits, type Wish } from './registry-writes.ts';
import type { Identity, IdentityKey } from './types.ts';

/**
 * Puts new keys in place of one or both of each identity's, and leaves the rest of it as it is: the replacement must meet the
 * state that was read. The outcome of each, in order.
 * @throws HubError ArgumentInvalid, DeviceDefinedMultipleTimes: nothing was changed then
 */
export async function regenerateKeys(
  which: WhichKeys,
  keys: readonly IdentityKey[],
  parts: { readonly store: IdentityStore; readonly random: Random; readonly limits: RegistryLimits },
  now: number,
): Promise<readonly (Identity | HubError)[]> {
  if (keys.length === 0 || keys.length > limits.bulkIdentitiesMax) {
    throw new HubError('ArgumentInvalid', `A request names 1 to ${limits.bulkIdentitiesMax} identities.`);
  }
  if (new Set(keys.map(identityName)).size < keys.length) throw new HubError('DeviceDefinedMultipleTimes');
  const wishes = await Promise.all(keys.map(async (key) => wishFor(which, key, await parts.store.get(keyOf(key)))));
  const valid = wishes.filter((wish) => !(wish instanceof HubError)) as readonly Wish[];
  const outcomes = (await carryOut(valid, parts, now)).values();
  return wishes.map((wish) => (wish instanceof HubError ? wish : (outcomes.next().value as Identity | HubError)));
}

/** All else of an identity: a field that is left out would be lost with the new keys, and does not compile. */
type Rest = Required<Omit<IdentityDraft, keyof IdentityKey | 'authentication'>>;

function wishFor(which: WhichKeys, key: IdentityKey, identity: Identity | undefined): Wish | HubError {
  if (identity === undefined) return notFound(key);
  if (identity.authentication.symmetricKey == null) {
    return new HubError('ArgumentInvalid', `${identityName(key)} does not authenticate with keys.`);
  }
  const { primaryKey, secondaryKey } = identity.authentication.symmetricKey;
  const { status, statusReason, capabilities, deviceScope, parentScopes, managedBy } = identity;
  // An empty key is one to be made.
  const symmetricKey = {
    primaryKey: which === 'secondaryKey' ? primaryKey : '',
    secondaryKey: which === 'primaryKey' ? secondaryKey : '',
  };
  const rest: Rest = { status, statusReason, capabilities, deviceScope, parentScopes, managedBy };
  return {
    kind: 'replace',
    draft: { ...keyOf(key), ...rest, authentication: { type: 'sas', symmetricKey } },
    ifMatch: identity.etag,
  };
}
