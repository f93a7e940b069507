/** A node that dies while it clears up after another one that has died: a third one does what is left. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import pg from 'pg';
import { limits } from '../../src/base/limits.ts';
import { apiOf } from '../drivers/api.ts';
import { clusterMissing, connectDevice, makeDevice, startCluster } from '../drivers/cluster.ts';
import { until } from '../drivers/until.ts';

const missing = clusterMissing();
if (missing !== undefined) process.stderr.write(`NOT TESTED: a node that dies while it clears up (${missing})\n`);

/** What the third node has beyond the lease: it hears of a node’s end with a renewal, and clears up with that. On a busy machine. */
const MORE_MS = limits.nodeRenewMs + 5000;

for (const table of ['places', 'presence_states']) {
  test(`who dies while it clears up, at rows of ${table}, is followed by a third node within a lease`, {
    skip: missing ?? false,
    timeout: 240_000,
  }, async (t) => {
    await using opened = new AsyncDisposableStack();
    const cluster = opened.use(await startCluster({ nodes: 3 }));
    const [victim] = cluster.nodes;
    const connect = async (): Promise<pg.Client> => {
      const one = new pg.Client(cluster.database.url);
      await one.connect();
      opened.defer(() => one.end());
      await one.query(`set search_path to ${cluster.database.schema}`);
      return one;
    };
    const [client, locking] = [await connect(), await connect()];
    const { pid } = (await locking.query('select pg_backend_pid() as pid')).rows[0];
    const rows = async (text: string) => (await client.query(text)).rows;
    await makeDevice(victim, 'd');
    opened.use(destroyed((await connectDevice(victim, 'd')).client));
    await until('it is told to be connected', async () =>
      (await rows('select connected from presence_states')).some(({ connected }) => connected === 1),
    );

    // Who clears up waits for this row, and is killed meanwhile.
    await locking.query('begin');
    await locking.query(`select * from ${table} where device_id = 'd' for update`);
    await victim.kill();
    const waiting = `select pid from pg_stat_activity where ${pid} = any(pg_blocking_pids(pid))`;
    const isWaiting = async (): Promise<boolean> => (await rows(waiting)).length > 0;
    await until('it is cleared up after', isWaiting, { withinMs: 2 * limits.nodeLeaseMs + 10_000, everyMs: 100 });
    const [clearing] = await rows(`select name from node_duties join nodes on nodes.id = node_duties.node
      where duty like 'clear up after %'`);
    const nth = Number(clearing.name.slice('node-'.length)) - 1;
    await cluster.nodes[nth].kill();
    const killed = performance.now();
    await client.query(`select pg_terminate_backend(pid) from (${waiting}) waiting`);
    await locking.query('commit');

    const third = cluster.nodes[3 - nth];
    const api = apiOf(third);
    opened.defer(() => api.close());
    const isDone = async (): Promise<boolean> =>
      (await rows('select from places')).length === 0 &&
      (await rows('select from nodes')).length === 1 &&
      (await api.twins.get({ deviceId: 'd' })).connectionState === 'Disconnected';
    await until('the third node has done it', isDone, { withinMs: limits.nodeLeaseMs + MORE_MS, everyMs: 100 });
    t.diagnostic(`done ${Math.round(performance.now() - killed)} ms after the node that cleared up was killed`);
    assert.deepEqual(await rows(`select duty from node_duties where duty like 'clear up after %'`), []);
    opened.use(destroyed((await connectDevice(third, 'd')).client));
  });
}

const destroyed = (client: { destroy(): void }): Disposable => ({ [Symbol.dispose]: () => client.destroy() });
