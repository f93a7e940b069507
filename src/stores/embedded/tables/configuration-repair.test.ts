import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { systemClock } from '../../../base/clock.ts';
import { silentLog } from '../../../base/log.ts';
import { seededRandom } from '../../../base/random.ts';
import { readTwinChange } from '../../../core/twins/rules.ts';
import { exampleIdentity } from '../../contract/identities.ts';
import { checkTables } from './check.ts';
import { salvageTables } from './repair.ts';
import { type EmbeddedTables, openEmbeddedTables } from './tables.ts';

const cipher = { keys: [Buffer.alloc(32, 1)], source: 'test' };
const open = (file: string) => openEmbeddedTables({ file, cipher, log: silentLog, clock: systemClock });
const terms = { ifMatch: '*', time: 1, withEvents: false };
const configuration = {
  ...{ id: 'c', schemaVersion: '1.0', labels: {}, priority: 1, targetCondition: 'tags.a = 1', metrics: {}, etag: 'e' },
  ...{ content: { deviceContent: { 'properties.desired.x': 1 } }, createdTime: 1, lastUpdatedTime: 1 },
};

async function drain({ configurations }: EmbeddedTables): Promise<void> {
  for (let n = 0; n < 100; n++) {
    if ((await configurations.step({ countMax: 10, time: 1, withEvents: false })).kind === 'idle') return;
  }
  assert.fail('it comes to an end');
}

async function tag({ twins }: EmbeddedTables, deviceId: string, a: number): Promise<void> {
  await twins.change({ deviceId }, readTwinChange(Buffer.from(JSON.stringify({ tags: { a } })), 'merge'), terms);
}

test('what configurations rely on is checked, and a repair looks at the whole fleet again', async () => {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'mooring-configuration-repair-'));
  const file = path.join(folder, 'hub.db');
  const mended = path.join(folder, 'mended.db');
  try {
    let tables = await open(file);
    for (const deviceId of ['d1', 'd2', 'd3']) {
      await tables.identities.write([{ kind: 'create', identity: exampleIdentity({ deviceId }), countMax: 9 }]);
      await tag(tables, deviceId, deviceId === 'd3' ? 2 : 1);
    }
    await tables.configurations.create(configuration, 9);
    await drain(tables);
    await tables.close();
    assert.deepEqual(checkTables(file, cipher).problems, []);

    const database = new DatabaseSync(file);
    database.exec('update configuration_counts set count = 7');
    database.exec('delete from configuration_facts');
    database.exec(`update configured set kept = '{' where device_id = 'd1'`);
    database.close();
    assert.deepEqual(
      checkTables(file, cipher)
        .problems.map(({ table }) => table)
        .sort(),
      ['configuration_counts', 'configuration_facts', 'configured'],
    );

    const { actions } = await salvageTables(file, mended, cipher, seededRandom(1));
    assert.ok(
      actions.some((action) => /walk over the fleet/.test(action)),
      actions.join('\n'),
    );
    assert.deepEqual(checkTables(mended, cipher).problems, []);
    tables = await open(mended);
    assert.equal((await tables.configurations.get('c'))?.isEverywhere, false);
    await tag(tables, 'd3', 1);
    await drain(tables);
    const kept = await tables.configurations.get('c');
    assert.deepEqual([kept?.isEverywhere, kept?.systemCounts], [true, { targetedCount: 3, appliedCount: 3 }]);
    await tag(tables, 'd2', 2);
    await drain(tables);
    assert.deepEqual((await tables.configurations.get('c'))?.systemCounts, { targetedCount: 2, appliedCount: 2 });
    await tables.close();
  } finally {
    rmSync(folder, { recursive: true });
  }
});
