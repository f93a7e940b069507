/** Looks through tables that are being written: they see whole states, hold up nobody, find damage, and end when told. */
import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, openSync, rmSync, statSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { BackgroundLook } from './background-look.ts';
import { openDatabase } from './sqlite.ts';

const scratch = mkdtempSync(path.join(tmpdir(), 'mooring-look-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

function filled(name: string) {
  const file = path.join(scratch, name);
  const database = openDatabase(file);
  for (const table of ['a', 'b', 'c']) {
    database.exec(
      `create table ${table} (id integer primary key, text text); create index ${table}_text on ${table} (text)`,
    );
  }
  const write = (from: number): void => {
    database.exec('begin');
    for (const table of ['a', 'b', 'c']) {
      const statement = database.prepare(`insert or replace into ${table} values (?, ?)`);
      for (let at = from; at < from + 500; at++) statement.run(at, `${at} `.repeat(30));
    }
    database.exec('commit');
  };
  write(0);
  return { file, database, write };
}

test('tables that are written meanwhile are sound at each look', async () => {
  const { file, database, write } = filled('busy.db');
  const found: string[] = [];
  const look = new BackgroundLook(file, (what) => found.push(what));
  for (let round = 0; round < 3; round++) {
    let reported = false;
    const looking = look.look().then((report) => {
      reported = true;
      return report;
    });
    for (let from = 0; !reported; from += 500) {
      write(from % 5000);
      await new Promise(setImmediate);
    }
    assert.deepEqual((await looking).tables, ['a', 'b', 'c']);
  }
  assert.deepEqual(found, []);
  await look.close();
  database.close();
});

test('damage is told; what can only not be read is told apart from it', async () => {
  const { file, database } = filled('damaged.db');
  database.exec('pragma wal_checkpoint(truncate)');
  const handle = openSync(file, 'r+');
  for (let page = 10; (page + 1) * 4096 <= statSync(file).size; page++) {
    writeSync(handle, Buffer.alloc(4096, 0xa5), 0, 4096, page * 4096);
  }
  closeSync(handle);
  const found: string[] = [];
  const look = new BackgroundLook(file, (what) => found.push(what));
  const { damage, failure } = await look.look();
  assert.match(damage ?? '', /^table a: /);
  assert.equal(failure, undefined);
  assert.deepEqual(found, [damage]);
  await look.close();
  database.close();

  const missing = new BackgroundLook(path.join(scratch, 'missing.db'), (what) => found.push(what));
  const report = await missing.look();
  assert.match(report.failure ?? '', /unable to open/);
  assert.equal(found.length, 1);
  await missing.close();
});

test('a look is shared by who asks meanwhile, and ends with the tables', async () => {
  const { file, database } = filled('closed.db');
  const look = new BackgroundLook(file, () => {});
  const [first, second] = [look.look(), look.look()];
  assert.equal(first, second);
  await look.close();
  const report = await first;
  assert.ok(report.failure === 'the look was ended' || report.tables.length === 3, JSON.stringify(report));
  database.close();
});
