import path from 'node:path';
import type { JournalFiles } from './files.ts';
import { ignoreMissing } from './meta.ts';

/** Name of the file that is written to find out whether the disk works again. */
export const PROBE_NAME = 'probe';
/** At least this long, so that a disk with room for a header only does not count as working. */
const PROBE_BYTES_MIN = 64 * 1024;

/** Writes and syncs as many bytes as the disk has refused before. @throws the system's error if it refuses again. */
export async function probeDisk(files: JournalFiles, folder: string, refusedBytes: number): Promise<void> {
  const name = path.join(folder, PROBE_NAME);
  await files.unlink(name).catch(ignoreMissing);
  const file = await files.create(name);
  try {
    await file.write([Buffer.alloc(Math.max(PROBE_BYTES_MIN, refusedBytes))], 0);
    await file.sync();
  } finally {
    await file.close();
    await files.unlink(name);
  }
}
