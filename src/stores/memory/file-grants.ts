import type { GrantOutcome, GrantRecords } from '../../core/files/ports.ts';
import type { FileGrant } from '../../core/files/types.ts';
import { sameIdentity } from '../../core/identity/permissions.ts';
import type { Identity, IdentityKey } from '../../core/identity/types.ts';

/** Grants in memory. @param identities the registry's, to know which generations are there */
export function createMemoryFileGrants(identities: {
  get(key: IdentityKey): Promise<Pick<Identity, 'generationId'> | undefined>;
}): GrantRecords {
  /** In the order of granting. */
  const kept = new Map<string, FileGrant>();
  const end = (grant: FileGrant, now: number): void => void kept.set(grant.id, { ...grant, expiresAt: now });

  return {
    async grant(grants, perIdentityMax, now) {
      const outcomes: GrantOutcome[] = [];
      for (const grant of grants) {
        const identity = await identities.get(grant.key);
        const open = [...kept.values()].filter((each) => sameIdentity(each.key, grant.key) && each.expiresAt > now);
        const [before] = open.filter(({ name }) => name === grant.name);
        if (identity?.generationId !== grant.generationId) outcomes.push('gone');
        else {
          if (before !== undefined) end(before, now);
          const isFull = open.length - (before === undefined ? 0 : 1) >= perIdentityMax;
          if (!isFull) kept.set(grant.id, grant);
          outcomes.push(isFull ? 'full' : 'granted');
        }
      }
      return outcomes;
    },
    find: async (id) => kept.get(id),
    findByName: async (key, name, now) =>
      [...kept.values()].findLast(
        (grant) => sameIdentity(grant.key, key) && grant.name === name && grant.expiresAt > now,
      ),
    async list(of, { after, limit }) {
      const found = [...kept.values()]
        .reverse()
        .filter((grant) => ('key' in of ? sameIdentity(grant.key, of.key) : grant.path === of.path));
      const from = after === undefined ? 0 : found.findIndex(({ id }) => id === after) + 1;
      return found.slice(from, from + limit);
    },
    async progress(id, fetched) {
      const grant = kept.get(id);
      if (grant !== undefined) kept.set(id, { ...grant, fetched });
    },
    revoke: async (id) => kept.delete(id),
    async forget(key) {
      for (const grant of [...kept.values()]) if (sameIdentity(grant.key, key)) kept.delete(grant.id);
    },
    async sweep(before, count) {
      const over = [...kept.values()].filter(({ expiresAt }) => expiresAt < before).slice(0, count);
      for (const { id } of over) kept.delete(id);
      return over.length;
    },
  };
}
