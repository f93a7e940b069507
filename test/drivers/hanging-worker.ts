/** A listener thread as it is, that hangs when its link brings a note of this name, to which nobody else listens. */
import { parentPort } from 'node:worker_threads';
import '../../src/server/threads/worker.ts';

parentPort?.on('message', ({ note }: { readonly note?: string }) => {
  if (note === 'hang') for (;;);
});
