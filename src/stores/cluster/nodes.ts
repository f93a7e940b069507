/** Nodes and their leases in PostgreSQL, by its time: whatever the clocks of the nodes show, they agree on who has one. */
import { type Kysely, sql } from 'kysely';
import { limits } from '../../base/limits.ts';
import type { JoiningNode, JoinOutcome, Lease, LeasedNode, NodeStore } from '../../core/nodes/ports.ts';
import type { NodeFacts } from '../../core/nodes/types.ts';
import type { NodeRow } from '../tables/node-tables.ts';
import type { Tables, Transaction } from '../tables/schema.ts';

/** Any number: it stands for "who may join". */
const JOIN_LOCK = 0x4d4f4f4e;

/** Not the time at which the transaction began: one may have waited. */
export const databaseNow = sql<number>`(extract(epoch from clock_timestamp()) * 1000)::bigint`;
/** Nodes whose lease lasts. */
export const livingNodes = sql<string>`(select id from nodes where lease_until > ${databaseNow})`;

/** @param database with few connections of its own: a lease must not wait for other work */
export function postgresNodes(database: Kysely<Tables>): NodeStore {
  const leaseOf = async (tx: Kysely<Tables>, id: string): Promise<Lease> => {
    const duties = await tx.selectFrom('node_duties').select('duty').where('node', '=', id).execute();
    const notices = await tx
      .selectFrom('node_notices')
      .select(['id', 'body'])
      .where('node', '=', id)
      .orderBy('created_time')
      .limit(limits.nodeNoticesMax)
      .execute();
    return { nodes: await living(tx), duties: duties.map(({ duty }) => duty), notices };
  };

  return {
    join: (node, leaseMs) =>
      database.transaction().execute(async (tx): Promise<JoinOutcome> => {
        await sql`select pg_advisory_xact_lock(${JOIN_LOCK})`.execute(tx);
        const nodes = await living(tx, node.folder);
        const namesake = nodes.find(({ name }) => name === node.name);
        if (namesake !== undefined) {
          if (!namesake.isSameFolder) return { kind: 'taken', forMs: namesake.leaseMs };
          // Its process has let go of the folder that this one holds.
          await tx.updateTable('nodes').set({ lease_until: 0 }).where('id', '=', namesake.id).execute();
        } else if (nodes.length >= limits.nodesMax) return { kind: 'full' };
        await insert(tx, node, leaseMs);
        return { kind: 'joined', lease: await leaseOf(tx, node.id) };
      }),
    renew: (id, leaseMs, duties, devices = 0) =>
      database.transaction().execute(async (tx) => {
        const row = await tx
          .updateTable('nodes')
          .set({ lease_until: sql`${databaseNow} + ${leaseMs}`, devices })
          .where('id', '=', id)
          .where('lease_until', '>', databaseNow)
          .returning('draining')
          .executeTakeFirst();
        if (row === undefined) return undefined;
        if (row.draining === 1) await tx.deleteFrom('node_duties').where('node', '=', id).execute();
        else await takeDuties(tx, id, duties);
        return leaseOf(tx, id);
      }),
    list: () => living(database),
    async drain(name) {
      const row = await database
        .updateTable('nodes')
        .set({ draining: 1 })
        .where('name', '=', name)
        .where('lease_until', '>', databaseNow)
        .returningAll()
        .executeTakeFirst();
      return row && factsOf(row);
    },
    leave: (id) =>
      database.transaction().execute(async (tx) => {
        await tx.deleteFrom('nodes').where('id', '=', id).execute();
        await forget(tx, [id]);
      }),
    bury: () =>
      database.transaction().execute(async (tx) => {
        const rows = await tx.deleteFrom('nodes').where('lease_until', '<=', databaseNow).returningAll().execute();
        await forget(
          tx,
          rows.map(({ id }) => id),
        );
        return rows.map(factsOf);
      }),
    notify: (node, { id, body }) =>
      database.transaction().execute(async (tx) => {
        const { rows } = await sql`
          insert into node_notices (id, node, created_time, body)
          select ${id}, id, ${databaseNow}, ${body} from nodes where id = ${node} and lease_until > ${databaseNow}
          returning id`.execute(tx);
        return rows.length > 0;
      }),
    async noticesLeft(ids) {
      if (ids.length === 0) return [];
      const rows = await database
        .selectFrom('node_notices')
        .select('id')
        .where('id', 'in', ids)
        .where('node', 'in', livingNodes)
        .execute();
      return rows.map(({ id }) => id);
    },
    async noticesTaken(ids) {
      if (ids.length > 0) await database.deleteFrom('node_notices').where('id', 'in', ids).execute();
    },
  };
}

async function living(
  tx: Kysely<Tables>,
  folder = '',
): Promise<readonly (LeasedNode & { readonly isSameFolder: boolean })[]> {
  const rows = await tx
    .selectFrom('nodes')
    .selectAll()
    .select(sql<number>`lease_until - ${databaseNow}`.as('lease_ms'))
    .where('lease_until', '>', databaseNow)
    .orderBy('name')
    .execute();
  return rows.map((row) => ({
    ...factsOf(row),
    devices: row.devices,
    leaseMs: Math.max(0, row.lease_ms),
    isSameFolder: row.folder === folder,
  }));
}

async function insert(tx: Transaction, node: JoiningNode, leaseMs: number): Promise<void> {
  const { id, name, folder, address, port, version } = node;
  await sql`
    insert into nodes (id, name, folder, address, port, version, started_time, lease_until)
    values (${id}, ${name}, ${folder}, ${address}, ${port}, ${version}, ${databaseNow}, ${databaseNow} + ${leaseMs})
  `.execute(tx);
}

/** In the order of their names: two nodes that ask at the same time do not wait for each other. */
async function takeDuties(tx: Transaction, id: string, duties: readonly string[]): Promise<void> {
  for (const duty of duties.toSorted()) {
    await sql`
      insert into node_duties (duty, node) values (${duty}, ${id})
      on conflict (duty) do update set node = excluded.node where node_duties.node not in ${livingNodes}
    `.execute(tx);
  }
}

async function forget(tx: Transaction, ids: readonly string[]): Promise<void> {
  if (ids.length === 0) return;
  await tx.deleteFrom('receivers').where('node', 'in', ids).execute();
  await tx.deleteFrom('node_notices').where('node', 'in', ids).execute();
  await tx.deleteFrom('node_duties').where('node', 'in', ids).execute();
}

const factsOf = (row: NodeRow): NodeFacts => ({
  id: row.id,
  name: row.name,
  address: row.address,
  port: row.port,
  version: row.version,
  startedTime: row.started_time,
  isDraining: row.draining === 1,
});
