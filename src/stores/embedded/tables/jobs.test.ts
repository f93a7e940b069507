import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { systemClock } from '../../../base/clock.ts';
import { silentLog } from '../../../base/log.ts';
import { jobRunnersContract } from '../../contract/job-runners.ts';
import { jobStoreContract } from '../../contract/jobs.ts';
import { openEmbeddedTables } from './tables.ts';

const open = async () => {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'mooring-jobs-'));
  const cipher = { keys: [Buffer.alloc(32, 1)], source: 'test' };
  const openTables = () =>
    openEmbeddedTables({ file: path.join(folder, 'hub.db'), cipher, log: silentLog, clock: systemClock });
  let tables = await openTables();
  const trial = {
    store: tables.jobs,
    identities: tables.identities,
    twins: tables.twins,
    fleet: tables.fleet,
    async reopen() {
      await tables.close();
      tables = await openTables();
      // The trial's own are those of the tables that are open.
      Object.assign(trial, { identities: tables.identities, twins: tables.twins, fleet: tables.fleet });
      return tables.jobs;
    },
    async close() {
      await tables.close();
      rmSync(folder, { recursive: true });
    },
  };
  return trial;
};
jobStoreContract('embedded', open);
jobRunnersContract('embedded', async () => {
  const { store, identities, twins, fleet, close } = await open();
  return { store, another: store, identities, twins, fleet, close };
});
