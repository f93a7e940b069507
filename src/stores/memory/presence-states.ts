import { identityName } from '../../core/identity/permissions.ts';
import type { IdentityStore } from '../../core/identity/ports.ts';
import type { PresenceStateStore, StoredPresence } from '../../core/presence/states.ts';

/** Presence in memory: a real store, for tests and simulation. */
export function createMemoryPresenceStates(identities: IdentityStore): PresenceStateStore {
  const states = new Map<string, StoredPresence>();
  let running = false;

  const isCurrent = async ({ key, generationId }: StoredPresence): Promise<boolean> =>
    (await identities.get(key))?.generationId === generationId;

  return {
    async begin() {
      const crashed = running;
      running = true;
      return crashed;
    },
    async end() {
      running = false;
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
      for (const state of batch) if (await isCurrent(state)) states.set(identityName(state.key), state);
    },
    async recover(count) {
      const found: StoredPresence[] = [];
      for (const [name, state] of states) {
        if (found.length === count) break;
        if (!state.connected || !(await isCurrent(state))) continue;
        const ended = { ...state, connected: false, connectionStateUpdatedTime: state.lastActivityTime };
        states.set(name, ended);
        found.push(ended);
      }
      return found;
    },
  };
}
