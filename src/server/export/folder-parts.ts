/** What a data folder holds whatever the storage is, copied into another one. */
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { copyFile } from 'node:fs/promises';
import path from 'node:path';
import { syncFolder } from '../../stores/embedded/sync-folder.ts';
import { DataFolderError, syncFile } from '../data/data-folder.ts';

/** @throws DataFolderError it holds something */
export function makeEmptyFolder(folder: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  if (readdirSync(folder).length > 0) {
    throw new DataFolderError(
      `${folder} is not empty. Name a new folder; one that an export has left that did not come to its end may be removed.`,
    );
  }
}

/** Certificates, what adapters keep, and files of devices if they are wanted; durable when it resolves. */
export async function copyParts(from: string, to: string, withFiles: boolean): Promise<void> {
  for (const part of ['tls', 'adapters', ...(withFiles ? ['files'] : [])]) await copyTree(from, to, part);
  syncFolder(to);
}

async function copyTree(from: string, to: string, part: string): Promise<void> {
  const at = path.join(from, part);
  if (!existsSync(at)) return;
  mkdirSync(path.join(to, part), { mode: 0o700 });
  for (const entry of readdirSync(at, { withFileTypes: true })) {
    // What was being sent to the hub, and had not arrived.
    if (part === 'files' && entry.name === '.staging') continue;
    const name = path.join(part, entry.name);
    if (entry.isDirectory()) await copyTree(from, to, name);
    if (!entry.isFile()) continue;
    await copyFile(path.join(from, name), path.join(to, name));
    syncFile(path.join(to, name));
  }
  syncFolder(path.join(to, part));
}
