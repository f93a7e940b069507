/** Nodes that stand still in the middle of what they do in PostgreSQL (held, suspended, without power): the others go on. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Kysely, type KyselyPlugin, type QueryId, sql } from 'kysely';
import { limits } from '../../base/limits.ts';
import { silentLog } from '../../base/log.ts';
import { withPostgres } from '../contract/postgres.ts';
import type { Tables } from '../tables/schema.ts';
import { connect } from './connections.ts';
import { postgresNodes } from './nodes.ts';

const LONG = 60_000;
const node = (id: string) => ({ id, name: id, folder: id, address: '127.0.0.1', port: 1, version: '1' });

/** A client that hears of duties only when it is let go on: what it has locked by then it keeps. */
function heldAtDuties(database: Kysely<Tables>) {
  const [held, stands] = gate();
  const [released, letGo] = gate();
  const asked = new WeakSet<QueryId>();
  const plugin: KyselyPlugin = {
    transformQuery({ node, queryId }) {
      if (JSON.stringify(node).includes('node_duties')) asked.add(queryId);
      return node;
    },
    async transformResult({ result, queryId }) {
      if (!asked.has(queryId)) return result;
      stands();
      await released;
      return result;
    },
  };
  return { database: database.withPlugin(plugin), held, letGo };
}

function gate(): readonly [passed: Promise<void>, open: () => void] {
  let open = (): void => {};
  const passed = new Promise<void>((resolve) => (open = resolve));
  return [passed, open];
}

withPostgres('nodes that are held', (open) => {
  for (const what of ['cleared', 'leave'] as const) {
    test(`postgres: leases are renewed while a node is held within its \`${what}\``, async () => {
      const { tables, url, schema, query, close } = await open();
      const { nodes } = tables;
      // Without bounds, so that nothing but the form of the statements helps.
      const other = connect({ url, schema, log: silentLog, connectionsMax: 1 });
      try {
        await nodes.join(node('a'), LONG);
        await nodes.join(node('gone'), LONG);
        assert.deepEqual((await nodes.renew('gone', LONG, ['sweep']))?.duties, ['sweep']);
        if (what === 'cleared') await query(`update nodes set lease_until = 0 where id = 'gone'`);
        const { database, held, letGo } = heldAtDuties(other);
        const clearing = postgresNodes(database)[what]('gone');
        await held;
        try {
          assert.deepEqual((await nodes.renew('a', LONG, ['sweep']))?.duties, ['sweep']);
        } finally {
          letGo();
          await clearing;
        }
      } finally {
        await other.destroy();
        await close();
      }
    });
  }

  test('postgres: rows that a held node has locked are free before its lease would be over', async () => {
    const { tables, url, schema, close } = await open();
    const other = connect({ url, schema, log: silentLog, connectionsMax: 1, statementMs: limits.postgresStatementMs });
    try {
      await tables.probe();
      const [isLocked, locked] = gate();
      const standing = other.transaction().execute(async (tx) => {
        await sql`select * from facts for update`.execute(tx);
        locked();
        await new Promise((resolve) => setTimeout(resolve, limits.nodeLeaseMs));
        await sql`select 1`.execute(tx);
      });
      await isLocked;
      const begun = performance.now();
      await tables.probe();
      const tookMs = performance.now() - begun;
      assert.ok(tookMs > 1000, 'it was locked');
      assert.ok(tookMs < limits.nodeLeaseMs - 1000, `${tookMs} ms`);
      await assert.rejects(standing);
    } finally {
      await other.destroy();
      await close();
    }
  });
});
