import { identityName } from '../../core/identity/permissions.ts';
import type { IdentityStore } from '../../core/identity/ports.ts';
import type { PresenceStateStore, StoredPresence } from '../../core/presence/states.ts';

/** What nodes in one process share: a real store, for tests and simulation. */
export class MemoryPresence {
  /** By name of the identity. */
  readonly states = new Map<string, StoredPresence & { readonly node: string }>();
  readonly running = new Set<string>();
}

/** Presence in memory, as one node keeps it. */
export function createMemoryPresenceStates(
  identities: IdentityStore,
  node = '',
  { states, running } = new MemoryPresence(),
): PresenceStateStore {
  const isCurrent = async ({ key, generationId }: StoredPresence): Promise<boolean> =>
    (await identities.get(key))?.generationId === generationId;

  return {
    async begin() {
      const crashed = running.has(node);
      running.add(node);
      return crashed;
    },
    async end() {
      running.delete(node);
    },
    get: (keys) =>
      Promise.all(
        keys.map(async (key) => {
          const stored = states.get(identityName(key));
          if (stored === undefined || !(await isCurrent(stored))) return undefined;
          const { connected, connectionStateUpdatedTime, lastActivityTime } = stored;
          return { connected, connectionStateUpdatedTime, lastActivityTime };
        }),
      ),
    async save(batch) {
      for (const state of batch) {
        if (!(await isCurrent(state))) continue;
        const name = identityName(state.key);
        const kept = states.get(name);
        const isElsewhere =
          kept?.connected === true &&
          kept.node !== node &&
          kept.generationId === state.generationId &&
          !state.connected;
        if (!isElsewhere) states.set(name, { ...state, node });
      }
    },
    async recover(count) {
      const found: StoredPresence[] = [];
      for (const [name, state] of states) {
        if (found.length === count) break;
        if (!state.connected || state.node !== node || !(await isCurrent(state))) continue;
        const { key, generationId, lastActivityTime } = state;
        const ended = {
          key,
          generationId,
          connected: false,
          connectionStateUpdatedTime: lastActivityTime,
          lastActivityTime,
        };
        states.set(name, { ...ended, node });
        found.push(ended);
      }
      return found;
    },
  };
}
