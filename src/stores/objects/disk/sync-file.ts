import { open } from 'node:fs/promises';

/** Makes a file's attributes, or the names in a folder, durable. */
export async function syncFile(name: string): Promise<void> {
  const handle = await open(name, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
