/** What the folder store asks of the file system beside reading and writing. */
import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { open, readdir, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { STAGING_FOLDER } from '../disk/unfinished.ts';

/** The files of all devices, by the name of the device's folder. */
export async function* filesIn(folder: string): AsyncGenerator<{ readonly group: string; readonly bytes: number }> {
  for (const group of await readdir(folder)) {
    if (group === STAGING_FOLDER) continue;
    for (const entry of await readdir(path.join(folder, group), { withFileTypes: true }).catch(() => [])) {
      if (!entry.isFile()) continue;
      const found = await stat(path.join(folder, group, entry.name)).catch(() => undefined);
      if (found !== undefined) yield { group, bytes: found.size };
    }
  }
}

/** How files are opened to be read: a link that another user has put there is none of the store's files. */
export const READ_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** For `catch`: undefined where there is no such file, or a link. @throws every other failure */
export function absent(error: NodeJS.ErrnoException): undefined {
  if (error.code === 'ENOENT' || error.code === 'ENOTDIR' || error.code === 'ELOOP') return undefined;
  throw error;
}

/** Whether the file system takes `A` for `a`. */
export async function doesFoldCase(folder: string): Promise<boolean> {
  const probe = path.join(folder, STAGING_FOLDER, `case-${randomUUID()}`);
  const handle = await open(probe, 'wx', 0o600);
  await handle.close();
  try {
    return (
      (await stat(path.join(folder, STAGING_FOLDER, path.basename(probe).toUpperCase())).catch(absent)) !== undefined
    );
  } finally {
    await rm(probe, { force: true });
  }
}
