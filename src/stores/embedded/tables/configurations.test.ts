import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { systemClock } from '../../../base/clock.ts';
import { silentLog } from '../../../base/log.ts';
import { configurationStoreContract } from '../../contract/configurations.ts';
import { openEmbeddedTables } from './tables.ts';

const cipher = { keys: [Buffer.alloc(32, 1)], source: 'test' };

configurationStoreContract('embedded', async () => {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'mooring-configurations-'));
  const openTables = () =>
    openEmbeddedTables({ file: path.join(folder, 'hub.db'), cipher, log: silentLog, clock: systemClock });
  let tables = await openTables();
  const fleet = () => ({ store: tables.configurations, twins: tables.twins, identities: tables.identities });
  return {
    ...fleet(),
    async reopen() {
      await tables.close();
      tables = await openTables();
      return fleet();
    },
    async close() {
      await tables.close();
      rmSync(folder, { recursive: true });
    },
  };
});
