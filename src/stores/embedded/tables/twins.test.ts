import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { systemClock } from '../../../base/clock.ts';
import { silentLog } from '../../../base/log.ts';
import { twinStoreContract } from '../../contract/twins.ts';
import { openEmbeddedTables } from './tables.ts';

const cipher = { keys: [Buffer.alloc(32, 1)], source: 'test' };

twinStoreContract('embedded', async () => {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'mooring-twins-'));
  const openTables = () =>
    openEmbeddedTables({ file: path.join(folder, 'hub.db'), cipher, log: silentLog, clock: systemClock });
  let tables = await openTables();
  return {
    store: tables.twins,
    identities: tables.identities,
    async reopen() {
      await tables.close();
      tables = await openTables();
      return tables.twins;
    },
    async close() {
      await tables.close();
      rmSync(folder, { recursive: true });
    },
  };
});
