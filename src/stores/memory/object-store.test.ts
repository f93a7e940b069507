import { systemClock } from '../../base/clock.ts';
import { objectStoreContract } from '../contract/object-store.ts';
import { createMemoryObjectStore } from './object-store.ts';

objectStoreContract('memory', async () => {
  const store = createMemoryObjectStore(systemClock);
  return { store, reopen: async () => store, close: async () => {} };
});
