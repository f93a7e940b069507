import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { systemClock } from '../../../base/clock.ts';
import { silentLog } from '../../../base/log.ts';
import { freshCursor, noCounts, type RegistryJob } from '../../../core/registry-jobs/types.ts';
import { registryJobContract } from '../../contract/registry-jobs.ts';
import { createKeyCipher } from '../../tables/key-cipher.ts';
import { claimRegistryJob, createRegistryJob, findRegistryJob } from '../../tables/registry-jobs.ts';
import { resealAll } from '../../tables/reseal.ts';
import { kyselyOver, openDatabase } from './sqlite.ts';
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

const uri = 'https://a.example/c?sig=very-secret-signature';
const job: RegistryJob = {
  id: 'a',
  plan: {
    ...{ kind: 'export', inputUri: null, outputUri: uri, inputName: '', outputName: 'devices.txt' },
    ...{ excludesKeys: false, configurationsName: null, withTwins: true, createdBy: 'owner' },
  },
  ...{ state: 'enqueued', reason: '', counts: noCounts, cursor: freshCursor, createdTime: 1 },
  ...{ startedTime: undefined, endedTime: undefined },
};

test('the signature of a container does not stand in the file of the tables', async () => {
  const { jobs, folder, close } = await open();
  assert.equal(await jobs.create(job), 'created');
  assert.equal((await jobs.find('a'))?.plan.outputUri, uri);
  await close();
  const bytes = Buffer.concat(readdirSync(folder).map((name) => readFileSync(path.join(folder, name))));
  assert.ok(bytes.includes('registry_jobs') && !bytes.includes('very-secret'));
  rmSync(folder, { recursive: true });
});

test('a job outlives a change of the key; one whose key is lost fails, and makes room for the next', async () => {
  const { jobs, folder, close } = await open();
  await jobs.create(job);
  await close();
  const [old, fresh, other] = [1, 2, 3].map((fill) => Buffer.alloc(32, fill));
  const database = openDatabase(path.join(folder, 'hub.db'));
  const sealedWith = () => String(database.prepare('select plan from registry_jobs').get()?.plan);
  const before = sealedWith();
  await resealAll(kyselyOver(database), createKeyCipher({ keys: [fresh, old], source: 'test' }));
  assert.notEqual(sealedWith().split('.')[0], before.split('.')[0]);
  const cipherOf = (key: Buffer) => createKeyCipher({ keys: [key], source: 'test' });
  const tables = kyselyOver(database);
  assert.deepEqual(await findRegistryJob(tables, cipherOf(fresh), 'a'), job);
  assert.equal(await claimRegistryJob(tables, cipherOf(other), 'n1', 1000, 5), undefined);
  const lost = await findRegistryJob(tables, cipherOf(other), 'a');
  assert.equal(lost?.state, 'failed');
  assert.match(lost?.reason ?? '', /sealed with a key/);
  assert.equal(await createRegistryJob(tables, cipherOf(other), { ...job, id: 'b' }), 'created');
  database.close();
  rmSync(folder, { recursive: true });
});
