/** Which process still has a file open that was deleted: Linux tells, other systems do not. */
import { readdirSync, readlinkSync, realpathSync } from 'node:fs';
import path from 'node:path';

/**
 * @param file as it was called; its folder exists
 * @returns a process that has a deleted file of that name open, as far as this user may see processes
 */
export function holderOfDeleted(file: string): number | undefined {
  if (process.platform !== 'linux') return undefined;
  const wanted = `${path.join(realpathSync(path.dirname(file)), path.basename(file))} (deleted)`;
  return namesIn('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .find((pid) => namesIn(`/proc/${pid}/fd`).some((fd) => targetOf(`/proc/${pid}/fd/${fd}`) === wanted));
}

/** None where the process has ended meanwhile or is another user's. */
function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function targetOf(link: string): string | undefined {
  try {
    return readlinkSync(link);
  } catch {
    return undefined;
  }
}
