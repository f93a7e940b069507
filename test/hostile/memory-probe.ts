/**
 * Loaded into a hub that a test starts (`--import`). On SIGUSR2 the main thread collects its garbage and writes what is alive, heap
 * and external memory in bytes, to MEMORY_PROBE_FILE. Nothing of it is part of the program.
 */
import { renameSync, writeFileSync } from 'node:fs';
import v8 from 'node:v8';
import vm from 'node:vm';
import { isMainThread } from 'node:worker_threads';

const file = process.env.MEMORY_PROBE_FILE as string;
v8.setFlagsFromString('--expose-gc');
const collect = vm.runInNewContext('gc') as () => void;

if (isMainThread) {
  process.on('SIGUSR2', () => {
    // Twice: what finalizers let go is collected by the second.
    collect();
    setImmediate(() => {
      collect();
      const { heapUsed, external } = process.memoryUsage();
      writeFileSync(`${file}.part`, String(heapUsed + external));
      renameSync(`${file}.part`, file);
    });
  });
}
