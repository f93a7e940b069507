import { identityName } from '../../core/identity/permissions.ts';
import type { Holder, PlaceOutcome, Places } from '../../core/presence/places.ts';
import type { DisconnectReason } from '../../core/presence/types.ts';

/**
 * Places of a hub whose nodes are all in this process. The claimants are kept as they are: nothing is copied.
 * @param objectionTo what the identities, where they are known here, say against a claim
 */
export function createMemoryPlaces(
  objectionTo: (claim: Holder) => DisconnectReason | undefined = () => undefined,
): Places {
  const held = new Map<string, Holder>();
  let devices = 0;

  const free = (name: string, { key }: Holder): void => {
    held.delete(name);
    if (key.moduleId === undefined) devices--;
  };

  const take = (claim: Holder): PlaceOutcome => {
    const reason = objectionTo(claim);
    if (reason !== undefined) return { kind: 'refused', reason };
    const name = identityName(claim.key);
    const displaced = held.get(name);
    held.set(name, claim);
    if (displaced === undefined && claim.key.moduleId === undefined) devices++;
    return { kind: 'held', displaced };
  };

  return {
    claim: async (claims) => claims.map(take),
    async release(holders) {
      for (const holder of holders) {
        const name = identityName(holder.key);
        const present = held.get(name);
        if (present?.node === holder.node && present.connection === holder.connection) free(name, present);
      }
    },
    find: async (key) => held.get(identityName(key)),
    of: async (node) => [...held.values()].filter((holder) => holder.node === node),
    connectedDevices: async () => devices,
    async leave(node) {
      const gone = [...held].filter(([, holder]) => holder.node === node);
      for (const [name, holder] of gone) free(name, holder);
      return gone.map(([, holder]) => holder);
    },
  };
}
