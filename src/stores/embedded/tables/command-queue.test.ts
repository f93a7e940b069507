import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after } from 'node:test';
import { systemClock } from '../../../base/clock.ts';
import { silentLog } from '../../../base/log.ts';
import { commandQueueContract } from '../../contract/command-queue.ts';
import { commandQueueModelTest } from '../../contract/command-queue-model.ts';
import type { OpenedQueue } from '../../contract/fresh-queue.ts';
import { openEmbeddedTables } from './tables.ts';

const cipher = { keys: [Buffer.alloc(32, 1)], source: 'test' };

async function open(): Promise<OpenedQueue> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'mooring-commands-'));
  const openTables = () =>
    openEmbeddedTables({ file: path.join(folder, 'hub.db'), cipher, log: silentLog, clock: systemClock });
  let tables = await openTables();
  return {
    queue: tables.commandQueue,
    identities: tables.identities,
    async reopen() {
      await tables.close();
      tables = await openTables();
      return tables.commandQueue;
    },
    async close() {
      await tables.close();
      rmSync(folder, { recursive: true });
    },
  };
}

commandQueueContract('embedded', open);

// One database for all sequences: opening one costs more than a sequence. What a sequence leaves behind is forgotten.
let shared: Promise<OpenedQueue> | undefined;
after(async () => (await shared)?.close());
commandQueueModelTest('embedded', 100, async () => {
  shared ??= open();
  const { queue, identities } = await shared;
  return { queue, identities, close: () => queue.forget({ deviceId: 'd1' }) };
});
