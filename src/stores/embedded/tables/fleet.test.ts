import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { systemClock } from '../../../base/clock.ts';
import { silentLog } from '../../../base/log.ts';
import { fleetStoreContract } from '../../contract/fleet.ts';
import { openEmbeddedTables } from './tables.ts';

const cipher = { keys: [Buffer.alloc(32, 1)], source: 'test' };

fleetStoreContract('embedded', async () => {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'mooring-fleet-'));
  const file = path.join(folder, 'hub.db');
  const tables = await openEmbeddedTables({ file, cipher, log: silentLog, clock: systemClock });
  return {
    ...tables,
    async close() {
      await tables.close();
      rmSync(folder, { recursive: true });
    },
  };
});
