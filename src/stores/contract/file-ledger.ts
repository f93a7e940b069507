import { existsSync, readFileSync } from 'node:fs';
import { open, rename } from 'node:fs/promises';
import path from 'node:path';
import { systemFiles } from '../embedded/event-log/files.ts';
import type { Ledger } from '../embedded/event-log/ledger.ts';

/** A ledger in a file of its own, replaced as a whole, as the data folder's `hub.json` is. */
export function fileLedger(file: string, step: number): Ledger {
  let before: Promise<void> = Promise.resolve();
  return {
    kept: existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : undefined,
    step,
    keep(entry) {
      const done = before.then(async () => {
        const handle = await open(`${file}.new`, 'w');
        await handle.writeFile(JSON.stringify(entry));
        await handle.sync();
        await handle.close();
        await rename(`${file}.new`, file);
        await systemFiles.syncFolder(path.dirname(file));
      });
      before = done.catch(() => {});
      return done;
    },
  };
}
