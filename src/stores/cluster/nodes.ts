/** Nodes and their leases in PostgreSQL, by its time: whatever the clocks of the nodes show, they agree on who has one. */
import { type Kysely, sql } from 'kysely';
import { limits } from '../../base/limits.ts';
import type { JoiningNode, JoinOutcome, LeasedNode, NodeStore } from '../../core/nodes/ports.ts';
import type { NodeFacts } from '../../core/nodes/types.ts';
import type { NodeRow } from '../tables/node-tables.ts';
import type { Tables, Transaction } from '../tables/schema.ts';

/** Any number: it stands for "who may join". */
const JOIN_LOCK = 0x4d4f4f4e;
/** The duty of clearing up after a node that has gone, but for its id. */
const CLEARING = 'clear up after ';

/** Not the time at which the transaction began: one may have waited. */
export const databaseNow = sql<number>`(extract(epoch from clock_timestamp()) * 1000)::bigint`;
/** Nodes whose lease lasts. */
export const livingNodes = sql<string>`(select id from nodes where lease_until > ${databaseNow})`;

interface LeasedRow extends NodeRow {
  readonly lease_ms: number;
}

interface Renewed {
  readonly draining: number;
  readonly nodes: readonly LeasedRow[];
  readonly duties: readonly string[];
  readonly notices: readonly { readonly id: string; readonly body: string }[];
}

/** @param database with few connections of its own: a lease must not wait for other work */
export function postgresNodes(database: Kysely<Tables>): NodeStore {
  return {
    async namesake(name, folder) {
      const namesake = (await living(database, folder)).find((node) => node.name === name);
      return namesake === undefined || namesake.isSameFolder ? undefined : namesake.leaseMs;
    },
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
        // Its id is new: there are no duties of it, and nothing is left for it.
        return { kind: 'joined', lease: { nodes: await living(tx), duties: [], notices: [] } };
      }),
    // One statement: a node whose loop is busy with devices that come from one that has died may not wait for ten answers in turn. Its
    // parts see the tables as they were before it, so duties are those that it had and those that it takes.
    async renew(id, leaseMs, duties, devices = 0) {
      const { rows } = await sql<Renewed>`
        with own as (
          update nodes set lease_until = ${databaseNow} + ${leaseMs}, devices = ${devices}
          where id = ${id} and lease_until > ${databaseNow} returning draining
        ), given_up as (
          delete from node_duties where node = ${id} and exists (select from own where draining = 1)
        ), taken as (
          insert into node_duties (duty, node)
          select duty, ${id} from unnest(${duties.toSorted()}::text[]) with ordinality as wanted (duty, place)
          where exists (select from own where draining = 0) order by place
          on conflict (duty) do update set node = excluded.node where node_duties.node not in ${livingNodes}
          returning duty
        )
        select
          draining,
          (select coalesce(json_agg(living order by name), '[]') from (
            select *, lease_until - ${databaseNow} as lease_ms from nodes where lease_until > ${databaseNow}
          ) living) as nodes,
          array(
            select duty from node_duties where node = ${id} and duty = any(${duties}::text[]) union select duty from taken
          ) as duties,
          (select coalesce(json_agg(left_for order by created_time), '[]') from (
            select id, body, created_time from node_notices where node = ${id} order by created_time limit ${limits.nodeNoticesMax}
          ) left_for) as notices
        from own`.execute(database);
      const [row] = rows;
      if (row === undefined) return undefined;
      return {
        nodes: row.nodes.map(leasedOf),
        duties: row.draining === 1 ? [] : row.duties,
        notices: row.notices.map((notice) => ({ id: notice.id, body: notice.body })),
      };
    },
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
    // One statement each: a node that is held between two would keep the rows of duties locked, for which every other renewal waits.
    async leave(id) {
      await sql`update nodes set lease_until = 0 where id = ${id}`.execute(database);
      // One that has places left is buried as if it had died: nobody else would free them.
      await remove(database, id, sql`not exists (select from places where node = ${id})`);
    },
    async bury(own) {
      const { rows } = await sql<NodeRow>`
        with over as (
          select * from nodes where lease_until <= ${databaseNow} and ${own} in ${livingNodes}
        ), taken as (
          insert into node_duties as held (duty, node) select ${CLEARING} || id, ${own} from over order by id
          on conflict (duty) do update set node = excluded.node
          where held.node = excluded.node or held.node not in ${livingNodes}
          returning duty
        )
        select over.* from over join taken on taken.duty = ${CLEARING} || over.id`.execute(database);
      return rows.map(factsOf);
    },
    async cleared(id) {
      await remove(database, id);
    },
    async notify(node, notices) {
      const [ids, bodies] = [notices.map(({ id }) => id), notices.map(({ body }) => body)];
      const { rows } = await sql`
        with living as (select id from nodes where id = ${node} and lease_until > ${databaseNow}), put as (
          insert into node_notices (id, node, created_time, body)
          select notice.id, living.id, ${databaseNow}, notice.body
          from living, unnest(${ids}::text[], ${bodies}::text[]) as notice (id, body) on conflict (id) do nothing
        )
        select id from living`.execute(database);
      return rows.length > 0;
    },
    async noticesLeft(ids) {
      if (ids.length === 0) return [];
      const { rows } = await sql<{ readonly id: string }>`
        select id from node_notices where id = any(${ids}::text[]) and node in ${livingNodes}`.execute(database);
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
  return rows.map((row) => ({ ...leasedOf(row), isSameFolder: row.folder === folder }));
}

async function insert(tx: Transaction, node: JoiningNode, leaseMs: number): Promise<void> {
  const { id, name, folder, address, port, version } = node;
  await sql`
    insert into nodes (id, name, folder, address, port, version, started_time, lease_until)
    values (${id}, ${name}, ${folder}, ${address}, ${port}, ${version}, ${databaseNow}, ${databaseNow} + ${leaseMs})
  `.execute(tx);
}

/** Removes a node with what is kept of it but for its places. */
async function remove(database: Kysely<Tables>, id: string, mayGo = sql`true`): Promise<void> {
  await sql`
    with readers as (delete from receivers where node = ${id}),
      notices as (delete from node_notices where node = ${id}),
      duties as (delete from node_duties where node = ${id} or duty = ${CLEARING} || ${id})
    delete from nodes where id = ${id} and ${mayGo}`.execute(database);
}

const leasedOf = (row: LeasedRow): LeasedNode => ({
  ...factsOf(row),
  devices: row.devices,
  leaseMs: Math.max(0, row.lease_ms),
});

const factsOf = (row: NodeRow): NodeFacts => ({
  id: row.id,
  name: row.name,
  address: row.address,
  port: row.port,
  version: row.version,
  startedTime: row.started_time,
  isDraining: row.draining === 1,
});
