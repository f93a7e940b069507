import { commandQueueContract } from '../contract/command-queue.ts';
import { commandQueueModelTest } from '../contract/command-queue-model.ts';
import { createMemoryCommandQueue } from './command-queue.ts';
import { createMemoryIdentityStore } from './identities.ts';

const open = async () => {
  const identities = createMemoryIdentityStore();
  const queue = createMemoryCommandQueue(identities);
  // As the hub does.
  identities.watchOwnWrites(({ kind, identity }) => kind === 'deleted' && void queue.forget(identity));
  return { queue, identities, close: async () => {} };
};

commandQueueContract('memory', open);
commandQueueModelTest('memory', 300, open);
