/**
 * Loaded into a hub (`node --import`): kills it at a step of its archive in a folder, as a crash would. `TEST_ARCHIVE_CRASH` names the step:
 * `listed` (none of the file is on the disk), `half` (half of it is), `uploaded` (it has its name), `stored` (the list has its size, the manifest
 * is not written); anything else = never.
 */
import fs from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';

const wanted = process.env.TEST_ARCHIVE_CRASH;
const { open, rename } = fs;
let isUploaded = false;

function reached(step: string): void {
  if (step === wanted) process.kill(process.pid, 'SIGKILL');
}

const isParquet = (bytes: unknown): bytes is Buffer =>
  Buffer.isBuffer(bytes) && bytes.subarray(0, 4).equals(Buffer.from('PAR1'));

async function openWatched(...args: Parameters<typeof open>): ReturnType<typeof open> {
  const handle = await open(...args);
  if (!/[\\/]\.staging[\\/].*[\\/]put-/.test(String(args[0]))) return handle;
  const write = handle.write.bind(handle) as (...args: unknown[]) => Promise<unknown>;
  const watched = async (bytes: unknown, ...more: unknown[]): Promise<unknown> => {
    if (isParquet(bytes)) {
      reached('listed');
      if (wanted === 'half') await write(bytes.subarray(0, bytes.length / 2), 0, Math.floor(bytes.length / 2), 0);
      reached('half');
    }
    return write(bytes, ...more);
  };
  return Object.assign(handle, { write: watched });
}

async function renameWatched(...args: Parameters<typeof rename>): Promise<void> {
  const to = String(args[1]);
  if (isUploaded && to.includes('_manifest')) reached('stored');
  await rename(...args);
  if (!to.endsWith('.parquet')) return;
  isUploaded = true;
  reached('uploaded');
}

Object.assign(fs, { open: openWatched, rename: renameWatched });
syncBuiltinESMExports();
