/** Indexes of queries: made, used and removed as the operator asks. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { systemClock } from '../../../base/clock.ts';
import { silentLog } from '../../../base/log.ts';
import { fieldOf } from '../../../core/query/fields.ts';
import { parseQuery } from '../../../core/query/statement.ts';
import { readTwinChange } from '../../../core/twins/rules.ts';
import { exampleIdentity } from '../../contract/identities.ts';
import { fleetReader } from '../../tables/fleet.ts';
import { kyselyOver } from './sqlite.ts';
import { openEmbeddedTables } from './tables.ts';

const cipher = { keys: [Buffer.alloc(32, 1)], source: 'test' };
const never = new AbortController().signal;
const field = (name: string) => fieldOf(name.split('.'), 'devices') ?? assert.fail(name);

test('an index is made at a start, used by what asks for its value, and removed when it is not named any more', async () => {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'mooring-indexes-'));
  const file = path.join(folder, 'hub.db');
  const open = (...names: readonly string[]) =>
    openEmbeddedTables({ file, cipher, log: silentLog, clock: systemClock, queryIndexes: names.map(field) });
  const names = (): readonly unknown[] => {
    const database = new DatabaseSync(file, { readOnly: true });
    const rows = database.prepare(`select name from sqlite_schema where name like 'query_index%' order by name`).all();
    database.close();
    return rows.map(({ name }) => name);
  };
  try {
    const tables = await open();
    for (let at = 0; at < 40; at++) {
      const key = { deviceId: `d${at}` };
      await tables.identities.write([{ kind: 'create', identity: exampleIdentity(key), countMax: 100 }]);
      const tags = { site: at % 4 === 0 ? 'n' : 's', "it's": { 'ü"': at } };
      const body = Buffer.from(JSON.stringify({ tags }));
      await tables.twins.change(key, readTwinChange(body, 'merge'), { ifMatch: '*', time: 1, withEvents: false });
    }
    await tables.close();
    assert.deepEqual(names(), []);
    const indexed = await open('tags.site', 'properties.desired.a-b');
    assert.deepEqual(names(), ['query_index $."desired"."values"."a-b"', 'query_index $."tags"."site"']);
    const query = parseQuery("SELECT deviceId FROM devices WHERE tags.site = 'n'");
    const page = await indexed.fleet.page({ query, countMax: 4 }, never);
    assert.equal(page.text, '[{"deviceId":"d0"},{"deviceId":"d12"},{"deviceId":"d16"},{"deviceId":"d20"}]');
    await indexed.close();

    const database = new DatabaseSync(file, { readOnly: true });
    const plans: string[] = [];
    const tracing = kyselyOver(
      new Proxy(database, {
        get(of, name) {
          if (name !== 'prepare') return Reflect.get(of, name, of);
          return (sql: string) => {
            const plan = of.prepare(`explain query plan ${sql}`).all(...new Array(sql.split('?').length - 1).fill('x'));
            plans.push(plan.map(({ detail }) => detail).join('; '));
            return of.prepare(sql);
          };
        },
      }),
    );
    const reader = fleetReader(tracing, { query, countMax: 4 }, { now: 0, indexes: new Set(['$."tags"."site"']) });
    const slice = await reader.read(undefined);
    database.close();
    assert.equal(slice.rows.length, 5, 'one more than the page takes');
    assert.match(plans[0], /SEARCH text USING (COVERING )?INDEX query_index/);
    assert.doesNotMatch(plans.join('; '), /SCAN|TEMP B-TREE/);

    await (await open('tags.site')).close();
    assert.deepEqual(names(), ['query_index $."tags"."site"']);
    await (await open()).close();
    assert.deepEqual(names(), []);
    await assert.rejects(open('properties.reported.a'), /cannot be indexed/);
    await assert.rejects(open('tags'), /cannot be indexed/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
