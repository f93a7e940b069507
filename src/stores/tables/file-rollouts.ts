/** Files that go to many devices in waves. */
import type { Selectable } from 'kysely';
import type {
  Rollout,
  RolloutState,
  RolloutTarget,
  TargetChange,
  TargetState,
} from '../../core/files/rollout-types.ts';
import type { IdentityKey } from '../../core/identity/types.ts';
import { keyOfRow } from './command-rows.ts';
import { lockingRows } from './engine.ts';
import type { FileRolloutRow, FileRolloutTargetRow, Transaction } from './schema.ts';

/** Rows of one statement: both engines bound the values that it may have. */
const ROWS_AT_ONCE = 100;

export async function createRollout(
  tx: Transaction,
  rollout: Omit<Rollout, 'counts'>,
  keys: readonly IdentityKey[],
  runningMax: number,
): Promise<'created' | 'full'> {
  const { running } = await tx
    .selectFrom('file_rollouts')
    .select((build) => build.fn.countAll().as('running'))
    .where('state', '=', 'running')
    .executeTakeFirstOrThrow();
  if (Number(running) >= runningMax) return 'full';
  const { id, name, createdTime, createdBy, plan, state, reason, notBefore, wave } = rollout;
  await tx
    .insertInto('file_rollouts')
    .values({
      id,
      name,
      created_time: createdTime,
      created_by: createdBy,
      plan: JSON.stringify(plan),
      state,
      reason,
      not_before: notBefore,
      wave,
    })
    .execute();
  for (let at = 0; at < keys.length; at += ROWS_AT_ONCE) {
    const rows = keys.slice(at, at + ROWS_AT_ONCE).map((key, nth) => ({
      rollout: id,
      position: at + nth,
      device_id: key.deviceId,
      module_id: key.moduleId ?? '',
      state: 'waiting',
      grant_id: '',
      time: 0,
      reason: '',
    }));
    await tx.insertInto('file_rollout_targets').values(rows).execute();
  }
  return 'created';
}

export async function findRollout(tx: Transaction, id: string): Promise<Rollout | undefined> {
  const row = await tx.selectFrom('file_rollouts').selectAll().where('id', '=', id).executeTakeFirst();
  return row && withCounts(tx, row);
}

export async function listRollouts(
  tx: Transaction,
  { after, limit }: { readonly after?: string; readonly limit: number },
): Promise<readonly Rollout[]> {
  let query = tx.selectFrom('file_rollouts').selectAll();
  if (after !== undefined) {
    query = query.where('sequence', '<', (build) =>
      build.selectFrom('file_rollouts').select('sequence').where('id', '=', after),
    );
  }
  const rows = await query.orderBy('sequence', 'desc').limit(limit).execute();
  return all(tx, rows);
}

export async function runningRollouts(tx: Transaction): Promise<readonly Rollout[]> {
  const rows = await tx
    .selectFrom('file_rollouts')
    .selectAll()
    .where('state', '=', 'running')
    .orderBy('sequence')
    .execute();
  return all(tx, rows);
}

export async function rolloutTargets(
  tx: Transaction,
  id: string,
  { state, after, limit }: { readonly state?: TargetState; readonly after?: number; readonly limit: number },
): Promise<readonly RolloutTarget[]> {
  let query = tx.selectFrom('file_rollout_targets').selectAll().where('rollout', '=', id);
  if (state !== undefined) query = query.where('state', '=', state);
  if (after !== undefined) query = query.where('position', '>', after);
  const rows = await query.orderBy('position').limit(limit).execute();
  return rows.map(toTarget);
}

export async function settleTargets(tx: Transaction, id: string, changes: readonly TargetChange[]): Promise<void> {
  for (const { position, state, grantId, time, reason } of changes) {
    await tx
      .updateTable('file_rollout_targets')
      .set({ state, grant_id: grantId, time, reason })
      .where('rollout', '=', id)
      .where('position', '=', position)
      .execute();
  }
}

export async function advanceRollout(
  tx: Transaction,
  id: string,
  change: Partial<Pick<Rollout, 'state' | 'reason' | 'notBefore' | 'wave'>>,
): Promise<boolean> {
  const query = tx.selectFrom('file_rollouts').select('state').where('id', '=', id);
  if ((await lockingRows(tx, query).executeTakeFirst())?.state !== 'running') return false;
  const { state, reason, notBefore, wave } = change;
  const set = {
    ...(state !== undefined && { state }),
    ...(reason !== undefined && { reason }),
    ...(notBefore !== undefined && { not_before: notBefore }),
    ...(wave !== undefined && { wave }),
  };
  await tx.updateTable('file_rollouts').set(set).where('id', '=', id).execute();
  return true;
}

export async function sweepRollouts(tx: Transaction, before: number, count: number): Promise<number> {
  const rows = await tx
    .selectFrom('file_rollouts')
    .select('id')
    .where('state', '<>', 'running')
    .where('created_time', '<', before)
    .orderBy('sequence')
    .limit(count)
    .execute();
  for (const { id } of rows) {
    await tx.deleteFrom('file_rollout_targets').where('rollout', '=', id).execute();
    await tx.deleteFrom('file_rollouts').where('id', '=', id).execute();
  }
  return rows.length;
}

async function all(tx: Transaction, rows: readonly Selectable<FileRolloutRow>[]): Promise<readonly Rollout[]> {
  const found: Rollout[] = [];
  for (const row of rows) found.push(await withCounts(tx, row));
  return found;
}

async function withCounts(tx: Transaction, row: Selectable<FileRolloutRow>): Promise<Rollout> {
  const rows = await tx
    .selectFrom('file_rollout_targets')
    .select((build) => ['state', build.fn.countAll().as('count')])
    .where('rollout', '=', row.id)
    .groupBy('state')
    .execute();
  const counts = { waiting: 0, told: 0, fetched: 0, failed: 0 };
  for (const { state, count } of rows) counts[state as TargetState] = Number(count);
  return {
    id: row.id,
    name: row.name,
    createdTime: Number(row.created_time),
    createdBy: row.created_by,
    plan: JSON.parse(row.plan),
    state: row.state as RolloutState,
    reason: row.reason,
    notBefore: Number(row.not_before),
    wave: row.wave,
    counts,
  };
}

function toTarget(row: Selectable<FileRolloutTargetRow>): RolloutTarget {
  return {
    position: row.position,
    key: keyOfRow(row),
    state: row.state as TargetState,
    grantId: row.grant_id,
    time: Number(row.time),
    reason: row.reason,
  };
}
