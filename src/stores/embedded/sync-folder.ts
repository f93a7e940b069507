import { closeSync, fsyncSync, openSync } from 'node:fs';

/** Makes a new name in a folder durable. Windows cannot open folders; its file systems order a rename by themselves. */
export function syncFolder(folder: string): void {
  if (process.platform === 'win32') return;
  const handle = openSync(folder, 'r');
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}
