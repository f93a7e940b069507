import type { PolicyStore } from '../../core/identity/ports.ts';
import type { Policy } from '../../core/identity/types.ts';

/** Policies in memory. */
export function createMemoryPolicyStore(): PolicyStore {
  let kept: readonly Policy[] = [];
  return {
    load: async () => kept,
    async save(policies) {
      kept = [...policies];
    },
  };
}
