/** Routes and cursors in tables. What is declared is sealed as a whole: endpoints hold passwords and keys. */

import { isOtherProcess } from '../../core/nodes/processes.ts';
import type {
  CursorClaim,
  CursorFacts,
  CursorHold,
  CursorPlace,
  CursorRow,
  CursorStep,
  HeldCursor,
} from '../../core/routes/ports.ts';
import { changesOf } from '../../core/routes/rules.ts';
import { noRoutes, type RouteSet } from '../../core/routes/types.ts';
import { lockingRows } from './engine.ts';
import type { KeyCipher } from './key-cipher.ts';
import type { Transaction } from './schema.ts';

const CURRENT = 'current';
export const routeSetContext: readonly string[] = ['route_sets', CURRENT, 'declaration'];

export async function loadRoutes(tx: Transaction, cipher: KeyCipher): Promise<RouteSet> {
  const row = await tx.selectFrom('route_sets').selectAll().where('name', '=', CURRENT).executeTakeFirst();
  return row === undefined ? noRoutes : (JSON.parse(cipher.open(row.declaration, routeSetContext)) as RouteSet);
}

export async function routesNumber(tx: Transaction): Promise<number> {
  const row = await tx.selectFrom('route_sets').select('number').where('name', '=', CURRENT).executeTakeFirst();
  return Number(row?.number ?? 0);
}

export async function replaceRoutes(
  tx: Transaction,
  cipher: KeyCipher,
  set: RouteSet,
  begins: readonly number[],
): Promise<boolean> {
  const declaration = cipher.seal(JSON.stringify(set), routeSetContext);
  const before = await loadRoutes(tx, cipher);
  if (set.number !== before.number + 1) return false;
  // The number decides: of two at a time only one finds what it has read.
  if (before.number === 0) {
    const inserted = await tx
      .insertInto('route_sets')
      .values({ name: CURRENT, number: set.number, declaration })
      .onConflict((conflict) => conflict.doNothing())
      .executeTakeFirst();
    if (Number(inserted.numInsertedOrUpdatedRows) === 0) return false;
  } else {
    const updated = await tx
      .updateTable('route_sets')
      .set({ number: set.number, declaration })
      .where('name', '=', CURRENT)
      .where('number', '=', before.number)
      .executeTakeFirst();
    if (Number(updated.numUpdatedRows) === 0) return false;
  }
  const { come, go } = changesOf(before, set);
  for (const { endpoint } of go) {
    for (const table of ['route_cursors', 'route_rows'] as const) {
      await tx.deleteFrom(table).where('endpoint', '=', endpoint.name.toLowerCase()).execute();
    }
  }
  for (const { endpoint, since } of come) {
    const rows = begins.map((sequence, partition) => ({
      ...{ endpoint: endpoint.name.toLowerCase(), since, partition_number: partition, sequence },
      ...{ node: '', fence: 0, held_until: 0 },
    }));
    await tx.insertInto('route_cursors').values(rows).execute();
  }
  return true;
}

/** Seals what is declared with the first key. */
export async function resealRoutes(tx: Transaction, cipher: KeyCipher): Promise<void> {
  const row = await tx.selectFrom('route_sets').selectAll().where('name', '=', CURRENT).executeTakeFirst();
  if (row === undefined) return;
  const declaration = cipher.seal(cipher.open(row.declaration, routeSetContext), routeSetContext);
  await tx.updateTable('route_sets').set({ declaration }).where('name', '=', CURRENT).execute();
}

export async function claimCursors(
  tx: Transaction,
  { endpoint, since }: Pick<CursorPlace, 'endpoint' | 'since'>,
  { node, now, leaseMs, countMax }: CursorClaim,
): Promise<readonly HeldCursor[]> {
  const query = tx
    .selectFrom('route_cursors')
    .selectAll()
    .where('endpoint', '=', endpoint.toLowerCase())
    .where('since', '=', since)
    .orderBy('partition_number');
  const rows = await lockingRows(tx, query).execute();
  const mine = rows.filter((row) => row.node === node);
  const left = rows.filter((row) => isOtherProcess(node, row.node));
  const free = rows.filter(
    (row) => row.node !== node && !left.includes(row) && (row.node === '' || Number(row.held_until) <= now),
  );
  const taken = [...mine, ...[...left, ...free].slice(0, Math.max(0, countMax - mine.length))];
  const held: HeldCursor[] = [];
  for (const row of taken) {
    const fence = Number(row.fence) + (row.node === node ? 0 : 1);
    await tx
      .updateTable('route_cursors')
      .set({ node, fence, held_until: now + leaseMs })
      .where('endpoint', '=', row.endpoint)
      .where('partition_number', '=', row.partition_number)
      .execute();
    const partition = Number(row.partition_number);
    held.push({ hold: { endpoint, since, partition, node, fence }, sequence: Number(row.sequence) });
  }
  return held.sort((a, b) => a.hold.partition - b.hold.partition);
}

export async function saveCursor(
  tx: Transaction,
  { endpoint, since, partition, node, fence }: CursorHold,
  { sequence, put = [], remove = [] }: CursorStep,
): Promise<boolean> {
  const name = endpoint.toLowerCase();
  const updated = await tx
    .updateTable('route_cursors')
    .set({ sequence })
    .where('endpoint', '=', name)
    .where('partition_number', '=', partition)
    .where('since', '=', since)
    .where('node', '=', node)
    .where('fence', '=', fence)
    .executeTakeFirst();
  if (Number(updated.numUpdatedRows) === 0) return false;
  for (const key of remove) {
    await tx
      .deleteFrom('route_rows')
      .where('endpoint', '=', name)
      .where('partition_number', '=', partition)
      .where('row_key', '=', key)
      .execute();
  }
  for (const { key, value } of put) {
    await tx
      .insertInto('route_rows')
      .values({ endpoint: name, partition_number: partition, row_key: key, value })
      .onConflict((conflict) => conflict.columns(['endpoint', 'partition_number', 'row_key']).doUpdateSet({ value }))
      .execute();
  }
  return true;
}

export async function releaseCursor(
  tx: Transaction,
  { endpoint, since, partition, node, fence }: CursorHold,
): Promise<void> {
  await tx
    .updateTable('route_cursors')
    .set({ node: '', held_until: 0 })
    .where('endpoint', '=', endpoint.toLowerCase())
    .where('partition_number', '=', partition)
    .where('since', '=', since)
    .where('node', '=', node)
    .where('fence', '=', fence)
    .execute();
}

export async function cursorRows(
  tx: Transaction,
  { endpoint, since, partition }: CursorPlace,
  after: string | undefined,
  limit: number,
): Promise<readonly CursorRow[]> {
  const name = endpoint.toLowerCase();
  const owner = tx
    .selectFrom('route_cursors')
    .select('since')
    .where('endpoint', '=', name)
    .where('partition_number', '=', partition)
    .where('since', '=', since);
  if ((await owner.executeTakeFirst()) === undefined) return [];
  let query = tx
    .selectFrom('route_rows')
    .select(['row_key', 'value'])
    .where('endpoint', '=', name)
    .where('partition_number', '=', partition)
    .orderBy('row_key')
    .limit(limit);
  if (after !== undefined) query = query.where('row_key', '>', after);
  return (await query.execute()).map(({ row_key, value }) => ({ key: row_key, value }));
}

export async function listCursors(tx: Transaction): Promise<readonly CursorFacts[]> {
  const rows = await tx
    .selectFrom('route_cursors')
    .selectAll()
    .orderBy('endpoint')
    .orderBy('partition_number')
    .execute();
  return rows.map(({ endpoint, since, partition_number, sequence, node }) => ({
    ...{ endpoint, since: Number(since), partition: Number(partition_number), sequence: Number(sequence), node },
  }));
}
