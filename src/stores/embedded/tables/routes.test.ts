import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { systemClock } from '../../../base/clock.ts';
import { silentLog } from '../../../base/log.ts';
import { nextSet } from '../../../core/routes/rules.ts';
import { noRoutes } from '../../../core/routes/types.ts';
import { routesContract } from '../../contract/routes.ts';
import { createKeyCipher } from '../../tables/key-cipher.ts';
import { resealAll } from '../../tables/reseal.ts';
import { loadRoutes } from '../../tables/routes.ts';
import { kyselyOver, openDatabase } from './sqlite.ts';
import { openEmbeddedTables } from './tables.ts';

const cipher = { keys: [Buffer.alloc(32, 1)], source: 'test' };

async function open() {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'mooring-routes-'));
  const file = path.join(folder, 'hub.db');
  const { routes, cursors, close } = await openEmbeddedTables({ file, cipher, log: silentLog, clock: systemClock });
  return { ...{ routes, cursors, folder, file }, end: close };
}

routesContract('embedded', async () => {
  const { routes, cursors, folder, end } = await open();
  return {
    ...{ routes, cursors },
    async close() {
      await end();
      rmSync(folder, { recursive: true });
    },
  };
});

const set = nextSet(
  noRoutes,
  {
    ...noRoutes,
    endpoints: [
      {
        ...{ kind: 'kafka', name: 'k', brokers: ['localhost:9092'], topic: 't', tls: false },
        ...{ mechanism: 'plain', user: 'u', password: 'very-secret' },
      },
    ],
  },
  1,
);

test('secrets of endpoints do not stand in the file of the tables, and go over to another key', async () => {
  const { routes, folder, file, end } = await open();
  assert.equal(await routes.replace(set, [0]), true);
  await end();
  const bytes = Buffer.concat(readdirSync(folder).map((name) => readFileSync(path.join(folder, name))));
  assert.ok(bytes.includes('route_cursors') && !bytes.includes('very-secret'));
  const database = openDatabase(file);
  const db = kyselyOver(database);
  const both = createKeyCipher({ keys: [Buffer.alloc(32, 2), ...cipher.keys], source: 'test' });
  await db.transaction().execute((tx) => resealAll(tx, both));
  const fresh = createKeyCipher({ keys: [Buffer.alloc(32, 2)], source: 'test' });
  assert.deepEqual(await loadRoutes(db as never, fresh), set);
  database.close();
  rmSync(folder, { recursive: true });
});
