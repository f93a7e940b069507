import { exampleIdentity } from '../contract/identities.ts';
import { presenceStateStoreContract } from '../contract/presence-states.ts';
import { createMemoryIdentityStore } from './identities.ts';
import { createMemoryPresenceStates, MemoryPresence } from './presence-states.ts';

presenceStateStoreContract('memory', async () => {
  const identities = createMemoryIdentityStore();
  const shared = new MemoryPresence();
  return {
    store: createMemoryPresenceStates(identities, 'a', shared),
    another: createMemoryPresenceStates(identities, 'b', shared),
    register: async (deviceId, moduleId, generationId) => {
      const identity = exampleIdentity({ deviceId, ...(moduleId !== undefined && { moduleId }) }, { generationId });
      await identities.write([{ kind: 'create', identity, countMax: 1000 }]);
    },
    unregister: async (deviceId) =>
      void (await identities.write([{ kind: 'delete', key: { deviceId }, ifMatch: '*' }])),
    close: async () => {},
  };
});
