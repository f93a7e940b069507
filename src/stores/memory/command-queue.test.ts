import { commandQueueContract } from '../contract/command-queue.ts';
import { commandQueueModelTest } from '../contract/command-queue-model.ts';
import { createMemoryCommandQueue } from './command-queue.ts';

const open = async () => ({ queue: createMemoryCommandQueue(), close: async () => {} });

commandQueueContract('memory', open);
commandQueueModelTest('memory', 300, open);
