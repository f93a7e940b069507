/**
 * Data folders of earlier formats open, and lose nothing. `test/fixtures/tables-format-N/hub.db` was written by a hub
 * of format N, with a key of 32 bytes of value 7.
 */
import assert from 'node:assert/strict';
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type TestContext, test } from 'node:test';
import { systemClock } from '../../../base/clock.ts';
import { silentLog } from '../../../base/log.ts';
import { defaultCommandLimits } from '../../../core/commands/rules.ts';
import { newCommand } from '../../contract/fresh-queue.ts';
import { exampleIdentity } from '../../contract/identities.ts';
import { TABLES_FORMAT } from '../../tables/migrations.ts';
import { openEmbeddedTables } from './tables.ts';

/** Of the identities in the fixtures. */
const { generationId } = exampleIdentity({ deviceId: 'd1' });
const fixtures = new URL('../../../../test/fixtures/', import.meta.url);
const cipher = { keys: [Buffer.alloc(32, 7)], source: 'test' };

function copyOf(format: number, context: TestContext): string {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'mooring-format-'));
  context.after(() => rmSync(folder, { recursive: true }));
  const file = path.join(folder, 'hub.db');
  copyFileSync(new URL(`tables-format-${format}/hub.db`, fixtures), file);
  return file;
}

function schemaOf(file: string): unknown {
  const database = new DatabaseSync(file, { readOnly: true });
  const schema = database.prepare('select name, sql from sqlite_schema order by name').all();
  database.close();
  return schema;
}

test('tables of format 1 are brought to the present one, with everything in them', async (context) => {
  const file = copyOf(1, context);
  const tables = await openEmbeddedTables({ file, cipher, log: silentLog, clock: systemClock });
  for (const key of [{ deviceId: 'd1' }, { deviceId: 'd1', moduleId: 'm1' }, { deviceId: 'd2' }]) {
    assert.deepEqual(await tables.identities.get(key), exampleIdentity(key));
  }
  assert.deepEqual(await tables.policies.load(), [
    { name: 'p', primaryKey: 'YQ==', secondaryKey: 'Yg==', permissions: ['RegistryRead'] },
  ]);
  assert.deepEqual(await tables.consumerGroups.list('hub'), [{ name: 'Readers', createdTime: 5 }]);
  assert.deepEqual(await tables.subscriptions.load({ deviceId: 'd1' }, '1'), [{ filter: '#', qos: 1 }]);
  const sent = await tables.commandQueue.enqueue(newCommand('m1', { generationId }), defaultCommandLimits, 0);
  assert.deepEqual(sent, { kind: 'enqueued', sequence: 1 });
  await tables.close();

  const fresh = path.join(path.dirname(file), 'fresh.db');
  await (await openEmbeddedTables({ file: fresh, cipher, log: silentLog, clock: systemClock })).close();
  assert.deepEqual(schemaOf(file), schemaOf(fresh), 'a folder that was brought up is as a new one');
  const database = new DatabaseSync(file);
  assert.equal(database.prepare(`select value from facts where name = 'format'`).get()?.value, String(TABLES_FORMAT));
  database.close();
});

test('a deleted device takes its commands and receipts along in the same commit', async (context) => {
  const file = copyOf(1, context);
  const tables = await openEmbeddedTables({ file, cipher, log: silentLog, clock: systemClock });
  const queue = tables.commandQueue;
  for (const target of [{ deviceId: 'd1' }, { deviceId: 'd1', moduleId: 'm1' }, { deviceId: 'd2' }]) {
    await queue.enqueue(newCommand('purged', { target, generationId }), defaultCommandLimits, 0);
    await queue.purge(target, 0);
    await queue.enqueue(newCommand('open', { target, generationId }), defaultCommandLimits, 0);
  }
  await tables.identities.write([{ kind: 'delete', key: { deviceId: 'd1' }, ifMatch: '*' }]);
  const { waiting, receipts } = await queue.totals(0);
  assert.deepEqual([waiting, receipts], [1, 1]);
  assert.equal((await queue.find({ deviceId: 'd2' }, { messageId: 'open' })).length, 1);
  await tables.close();
  const database = new DatabaseSync(file);
  assert.equal(database.prepare('select count(*) as count from command_messages').get()?.count, 2);
  database.close();
});
