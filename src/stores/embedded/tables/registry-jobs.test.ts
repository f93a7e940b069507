import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { systemClock } from '../../../base/clock.ts';
import { silentLog } from '../../../base/log.ts';
import { freshCursor, noCounts } from '../../../core/registry-jobs/types.ts';
import { registryJobContract } from '../../contract/registry-jobs.ts';
import { openEmbeddedTables } from './tables.ts';

const cipher = { keys: [Buffer.alloc(32, 1)], source: 'test' };

async function open() {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'mooring-jobs-'));
  const file = path.join(folder, 'hub.db');
  const tables = await openEmbeddedTables({ file, cipher, log: silentLog, clock: systemClock });
  const { registryJobs: jobs, registryPages: pages, identities, twins } = tables;
  return {
    ...{ jobs, pages, identities, twins, folder },
    close: () => tables.close(),
  };
}

registryJobContract('embedded', async () => {
  const opened = await open();
  return {
    ...opened,
    async close() {
      await opened.close();
      rmSync(opened.folder, { recursive: true });
    },
  };
});

test('the signature of a container does not stand in the file of the tables', async () => {
  const { jobs, folder, close } = await open();
  const uri = 'https://a.example/c?sig=very-secret-signature';
  const created = await jobs.create({
    id: 'a',
    plan: {
      ...{ kind: 'export', inputUri: null, outputUri: uri, inputName: '', outputName: 'devices.txt' },
      ...{ excludesKeys: false, configurationsName: null, withTwins: true, createdBy: 'owner' },
    },
    ...{ state: 'enqueued', reason: '', counts: noCounts, cursor: freshCursor, createdTime: 1 },
    ...{ startedTime: undefined, endedTime: undefined },
  });
  assert.equal(created, 'created');
  assert.equal((await jobs.find('a'))?.plan.outputUri, uri);
  await close();
  const bytes = Buffer.concat(readdirSync(folder).map((name) => readFileSync(path.join(folder, name))));
  assert.ok(bytes.includes('registry_jobs') && !bytes.includes('very-secret'));
  rmSync(folder, { recursive: true });
});
