import type { Random } from '../../base/random.ts';
import type { PolicyStore } from './ports.ts';
import { generateKey, isSymmetricKey } from './rules.ts';
import type { Permission, Policy, SymmetricKeys } from './types.ts';

/** The policies of a new hub (service reference 1.5). */
const defaultPolicies: Readonly<Record<string, readonly Permission[]>> = {
  iothubowner: ['RegistryRead', 'RegistryWrite', 'ServiceConnect', 'DeviceConnect'],
  service: ['ServiceConnect'],
  device: ['DeviceConnect'],
  registryRead: ['RegistryRead'],
  registryReadWrite: ['RegistryRead', 'RegistryWrite'],
};

/** Names of the default policies, in the service's order. */
export const defaultPolicyNames: readonly string[] = Object.keys(defaultPolicies);

/** Keys from settings, by policy name; a policy or key that is not given keeps what is stored, or gets a random one. */
export type GivenPolicyKeys = Readonly<Record<string, Partial<SymmetricKeys>>>;

/**
 * The hub's policies: the five default ones are made on first start, with random keys; keys given by settings win over
 * stored ones and are kept. Nothing is written when nothing changes.
 * @throws Error that names the policy (never the key) when a given name or key cannot be used.
 */
export async function ensurePolicies(
  store: PolicyStore,
  given: GivenPolicyKeys,
  random: Random,
): Promise<readonly Policy[]> {
  const stored = new Map((await store.load()).map((policy) => [policy.name, policy]));
  for (const [name, keys] of Object.entries(given)) {
    if (!(name in defaultPolicies)) throw new Error(`There is no policy "${name}" that a key could be given for.`);
    for (const key of [keys.primaryKey, keys.secondaryKey]) {
      if (key !== undefined && !isSymmetricKey(key)) {
        throw new Error(`The key given for policy "${name}" must be base64 of 16 to 64 bytes.`);
      }
    }
  }
  const wanted = defaultPolicyNames.map((name): Policy => {
    const kept = stored.get(name);
    return {
      name,
      primaryKey: given[name]?.primaryKey ?? kept?.primaryKey ?? generateKey(random),
      secondaryKey: given[name]?.secondaryKey ?? kept?.secondaryKey ?? generateKey(random),
      permissions: defaultPolicies[name],
    };
  });
  const others = [...stored.values()].filter((policy) => !(policy.name in defaultPolicies));
  const all = [...wanted, ...others];
  const changed = all.length !== stored.size || wanted.some((policy) => !sameKeys(policy, stored.get(policy.name)));
  if (changed) await store.save(all);
  return all;
}

function sameKeys(a: Policy, b: Policy | undefined): boolean {
  return b !== undefined && a.primaryKey === b.primaryKey && a.secondaryKey === b.secondaryKey;
}
