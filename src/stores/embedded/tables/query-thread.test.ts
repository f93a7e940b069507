/** The thread of queries: what becomes of those who wait when it dies, when they go, and when the tables are closed. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import type { Worker } from 'node:worker_threads';
import { systemClock } from '../../../base/clock.ts';
import { limits } from '../../../base/limits.ts';
import { silentLog } from '../../../base/log.ts';
import { parseQuery } from '../../../core/query/statement.ts';
import { exampleIdentity } from '../../contract/identities.ts';
import { type EmbeddedTables, openEmbeddedTables } from './tables.ts';

const cipher = { keys: [Buffer.alloc(32, 1)], source: 'test' };
const never = new AbortController().signal;
const count = { query: parseQuery('SELECT COUNT() AS n FROM devices'), countMax: 1 };

async function withFleet(
  devices: number,
  body: (tables: EmbeddedTables, file: string) => Promise<void>,
): Promise<void> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'mooring-query-thread-'));
  const file = path.join(folder, 'hub.db');
  const tables = await openEmbeddedTables({ file, cipher, log: silentLog, clock: systemClock });
  try {
    await tables.identities.write(
      Array.from({ length: devices }, (_, at) => ({
        kind: 'create' as const,
        identity: exampleIdentity({ deviceId: `d${at}` }),
        countMax: devices,
      })),
    );
    await body(tables, file);
  } finally {
    await tables.close();
    rmSync(folder, { recursive: true });
  }
}

/** The worker that `begin` starts. */
async function workerOf(begin: () => unknown): Promise<Worker> {
  const started = new Promise<Worker>((resolve) => process.once('worker', resolve));
  begin();
  return started;
}

test('when the thread dies, who waits is told, and the next query begins another one', async () => {
  await withFleet(limits.querySliceRows * 4, async (tables) => {
    let waiting: Promise<unknown> = Promise.resolve();
    const worker = await workerOf(() => {
      waiting = tables.fleet.page(count, never);
    });
    const refused = assert.rejects(waiting, { code: 'ServiceUnavailable' });
    await worker.terminate();
    await refused;
    assert.equal((await tables.fleet.page(count, never)).text, `[{"n":${limits.querySliceRows * 4}}]`);
    assert.equal((await tables.identities.counts()).devices, limits.querySliceRows * 4, 'the tables go on');
  });
});

test('many queries share the thread; one whose caller has gone ends, and the others do not', async () => {
  await withFleet(limits.querySliceRows * 3, async (tables) => {
    await tables.fleet.page(count, never);
    const gone = new AbortController();
    const left = assert.rejects(tables.fleet.page(count, gone.signal), /the caller has gone/);
    const others = Array.from({ length: 8 }, () => tables.fleet.page(count, never));
    gone.abort(new Error('the caller has gone'));
    await left;
    await assert.rejects(tables.fleet.page(count, gone.signal), /the caller has gone/, 'it had gone before');
    for (const { text } of await Promise.all(others)) assert.equal(text, `[{"n":${limits.querySliceRows * 3}}]`);
  });
});

test('closing ends queries, and leaves nothing in the write-ahead log', async () => {
  await withFleet(limits.querySliceRows * 4, async (tables, file) => {
    await tables.fleet.page(count, never);
    const waiting = assert.rejects(tables.fleet.page(count, never), { code: 'ServiceUnavailable' });
    await tables.close();
    await waiting;
    await assert.rejects(tables.fleet.page(count, never), { code: 'ServiceUnavailable' });
    const { wasLeftUnfinished } = await import('./look.ts');
    assert.equal(wasLeftUnfinished(file), false);
    const reopened = new DatabaseSync(file, { readOnly: true });
    assert.equal(reopened.prepare('select count(*) as n from identities').get()?.n, limits.querySliceRows * 4);
    reopened.close();
  });
});

test('a query holds up no writer, and sees what was written before it', async () => {
  await withFleet(limits.querySliceRows * 2, async (tables) => {
    for (let at = 0; at < 20; at++) {
      const long = tables.fleet.page(count, never);
      const identity = exampleIdentity({ deviceId: `new-${at}` });
      const [outcome] = await tables.identities.write([{ kind: 'create', identity, countMax: 10_000 }]);
      assert.equal(outcome.kind, 'done');
      const text = `SELECT deviceId FROM devices WHERE deviceId = 'new-${at}'`;
      const found = await tables.fleet.page({ query: parseQuery(text), countMax: 1 }, never);
      assert.equal(found.text, `[{"deviceId":"new-${at}"}]`);
      await long;
    }
  });
});
