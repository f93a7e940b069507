/** Presence of a node that has gone, while others are at work on the same rows. Over PostgreSQL. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { systemClock } from '../../base/clock.ts';
import { silentLog } from '../../base/log.ts';
import { exampleIdentity } from '../contract/identities.ts';
import { type OpenedPostgres, withPostgres } from '../contract/postgres.ts';
import { recoverPresence } from '../tables/presence-states.ts';
import type { Transaction } from '../tables/schema.ts';
import { connect } from './connections.ts';

withPostgres('presence of a node that has gone', (open) => {
  const connected = async ({ tables }: OpenedPostgres, ids: readonly string[]): Promise<void> => {
    const written = ids.map((deviceId) => {
      const identity = exampleIdentity({ deviceId }, { generationId: 'g1' });
      return { kind: 'create' as const, identity, countMax: 1000 };
    });
    await tables.identities.write(written);
    const times = { connected: true, connectionStateUpdatedTime: 10, lastActivityTime: 11 };
    await tables.presenceStates.save(ids.map((deviceId) => ({ key: { deviceId }, generationId: 'g1', ...times })));
  };

  test('postgres: a device that moves to another node while one clears up after its own stays connected', async () => {
    const opened = await open();
    await connected(opened, ['d1', 'moves']);
    const client = new pg.Client(opened.url);
    await client.connect();
    try {
      await client.query(`set search_path to ${opened.schema}; begin`);
      await client.query("update presence_states set node = 'another' where device_id = 'moves'");
      const recovering = opened.tables.presenceStates.recover(10);
      // Until it waits for the row; if it has not come so far it sees what is committed.
      await sleep(500);
      await client.query('commit');
      assert.deepEqual(
        (await recovering).map(({ key }) => key.deviceId),
        ['d1'],
      );
      const [state] = await opened.tables.presenceStates.get([{ deviceId: 'moves' }]);
      assert.equal(state?.connected, true);
    } finally {
      await client.end();
      await opened.close();
    }
  });

  test('postgres: the end of a connection is told once, also where two clear up at the same time', async () => {
    const opened = await open();
    const ids = Array.from({ length: 40 }, (_, at) => `d${at}`);
    await connected(opened, ids);
    const another = await opened.another(systemClock);
    try {
      const all: string[] = [];
      const clearUp = async (store: typeof another): Promise<void> => {
        for (;;) {
          const some = await store.presenceStates.recover(7);
          if (some.length === 0) return;
          all.push(...some.map(({ key }) => key.deviceId));
        }
      };
      await Promise.all([clearUp(opened.tables), clearUp(another)]);
      assert.deepEqual(all.toSorted(), ids.toSorted());
    } finally {
      await another.close();
      await opened.close();
    }
  });

  test('postgres: the ends of many connections are one statement: devices that come back do not wait for their number', async () => {
    const opened = await open();
    const { url, schema } = opened;
    const database = connect({ url, schema, log: silentLog, connectionsMax: 1 });
    try {
      const ids = Array.from({ length: 300 }, (_, at) => `d${at}`);
      await connected(opened, ids);
      let statements = 0;
      const counting = database.withPlugin({
        transformQuery({ node }) {
          statements++;
          return node;
        },
        transformResult: async ({ result }) => result,
      });
      const ended = await recoverPresence(counting as Transaction, '', 250);
      assert.equal(ended.length, 250);
      assert.equal(statements, 1);
    } finally {
      await database.destroy();
      await opened.close();
    }
  });
});
