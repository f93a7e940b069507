import type { AuthorityChange, AuthorityStore, KeptIntermediate } from '../../core/identity/ports.ts';
import type { Authority } from '../../core/identity/types.ts';

/** Certificate authorities in memory. */
export function createMemoryAuthorityStore(): AuthorityStore {
  const authorities = new Map<string, Authority>();
  const intermediates = new Map<string, KeptIntermediate>();
  const listeners = new Set<(change: AuthorityChange) => void>();
  const tell = (change: AuthorityChange): void => {
    for (const listener of listeners) listener(change);
  };
  const has = (thumbprint: string): boolean => [...authorities.values()].some((one) => one.thumbprint === thumbprint);

  return {
    list: async () => [...authorities.values()].sort((a, b) => (a.name < b.name ? -1 : 1)),
    async create(authority, countMax) {
      if (authorities.has(authority.name) || has(authority.thumbprint)) return 'exists';
      if (authorities.size >= countMax) return 'full';
      authorities.set(authority.name, authority);
      tell({ kind: 'created', authority });
      return 'created';
    },
    async replace(authority, ifMatch) {
      const stored = authorities.get(authority.name);
      if (stored === undefined) return 'notFound';
      if (ifMatch !== '*' && ifMatch !== stored.etag) return 'etagMismatch';
      authorities.set(authority.name, authority);
      tell({ kind: 'replaced', authority });
      return 'replaced';
    },
    async delete(name, ifMatch) {
      const stored = authorities.get(name);
      if (stored === undefined) return 'notFound';
      if (ifMatch !== '*' && ifMatch !== stored.etag) return 'etagMismatch';
      authorities.delete(name);
      for (const { authority, thumbprint } of [...intermediates.values()]) {
        if (authority === stored.thumbprint) intermediates.delete(thumbprint);
      }
      tell({ kind: 'deleted', authority: stored });
      return 'deleted';
    },
    intermediates: async () => [...intermediates.values()],
    async keepIntermediate(intermediate, countMax) {
      if (!has(intermediate.authority) || intermediates.has(intermediate.thumbprint)) return;
      for (const oldest of intermediates.keys()) {
        if (intermediates.size < countMax) break;
        intermediates.delete(oldest);
      }
      intermediates.set(intermediate.thumbprint, intermediate);
    },
    watchOwnWrites(listener) {
      // A wrapper of its own, so that the same function may watch twice and end each watch by itself.
      const own = (change: AuthorityChange): void => listener(change);
      listeners.add(own);
      return () => listeners.delete(own);
    },
  };
}
