/** Connections to PostgreSQL that nobody uses. Servers that fall silent: `postgres.test.ts`. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { sql } from 'kysely';
import { silentLog } from '../../base/log.ts';
import { withPostgres } from '../contract/postgres.ts';
import { connect } from './connections.ts';

const STATEMENT_MS = 100;

withPostgres('connections', (open) => {
  test('postgres: a connection that waits for work stays, however long that takes', async () => {
    const { url, schema, close } = await open();
    const warnings: string[] = [];
    const log = { ...silentLog, warn: (_: unknown, message: string) => void warnings.push(message) };
    const database = connect({ url, schema, log, connectionsMax: 1, statementMs: STATEMENT_MS });
    try {
      const process = async (): Promise<number> =>
        (await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(database)).rows[0].pid;
      const before = await process();
      await sleep(4 * STATEMENT_MS);
      assert.equal(await process(), before);
      assert.deepEqual(warnings, []);
    } finally {
      await database.destroy();
      await close();
    }
  });
});
