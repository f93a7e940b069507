/**
 * What becomes of commands once they were sent, each call a part of one transaction. Every one that may end commands
 * answers what its caller is to know (`value`) and which commands ended on the way (`ended`). How a command comes in stands
 * in `command-sending.ts`, what can be asked about it in `command-lookup.ts`.
 */
import { sql } from 'kysely';
import {
  end,
  handOver,
  handOverDetail,
  isLeftOver,
  releaseLock,
  type Settlement,
  settle,
} from '../../core/commands/lifecycle.ts';
import type { EndedCommand, LockWish, SettleOutcome, SweepOutcome } from '../../core/commands/ports.ts';
import type { Command, CommandLimits, TrailEntry } from '../../core/commands/types.ts';
import type { IdentityKey } from '../../core/identity/types.ts';
import { withMessages } from './command-lookup.ts';
import { keyOfRow, NEVER, type StoredCommand, toStored } from './command-rows.ts';
import { isLocked, isOpen, isWaiting, LockedQueue } from './locked-queue.ts';
import type { Transaction } from './schema.ts';

export interface Ended<Value> {
  readonly value: Value;
  readonly ended: readonly EndedCommand[];
}

export async function lockNextCommands(
  tx: Transaction,
  target: IdentityKey,
  generationId: string,
  lock: LockWish,
  now: number,
): Promise<Ended<readonly Command[]>> {
  const queue = await LockedQueue.hold(tx, target);
  if (queue === undefined) return { value: [], ended: [] };
  await queue.passTime(now);
  const { putsBack } = lock;
  if (putsBack !== undefined) await putBack(queue, (held) => isLeftOver(held, lock.holder, putsBack), now);
  const rows =
    queue.waiting === 0
      ? []
      : await queue
          .open()
          .where(isWaiting)
          .where('generation_id', '=', generationId)
          .limit(lock.tokens.length)
          .execute();
  const taken: StoredCommand[] = [];
  for (const [at, before] of rows.map(toStored).entries()) {
    const after = handOver(before, { token: lock.tokens[at], holder: lock.holder, lockMs: lock.lockMs }, now);
    const detail = handOverDetail(after, lock.holder);
    taken.push(await queue.replace(before, after, [{ time: now, step: 'handed-over', detail }]));
  }
  await queue.save();
  return { value: await withMessages(tx, target, taken), ended: queue.ended };
}

export async function settleCommand(
  tx: Transaction,
  target: IdentityKey,
  lockToken: string,
  settlement: Settlement,
  bounds: CommandLimits,
  now: number,
): Promise<Ended<SettleOutcome>> {
  const queue = await LockedQueue.hold(tx, target);
  if (queue === undefined) return { value: { kind: 'lockLost' }, ended: [] };
  await queue.passTime(now);
  const row =
    queue.locked === 0
      ? undefined
      : await queue.open().where(isLocked).where('lock_token', '=', lockToken).limit(1).executeTakeFirst();
  const before = row && toStored(row);
  const after = before && settle(before, lockToken, settlement, bounds, now);
  if (before === undefined || after === undefined) {
    await queue.save();
    return { value: { kind: 'lockLost' }, ended: queue.ended };
  }
  const steps: readonly TrailEntry[] = settlement === 'abandon' ? [{ time: now, step: 'abandoned', detail: '' }] : [];
  await queue.replace(before, after, steps);
  await queue.save();
  const value: SettleOutcome =
    after.state.kind === 'ended' ? { kind: 'ended', outcome: after.state.outcome } : { kind: 'again' };
  return { value, ended: queue.ended };
}

export async function releaseHolder(
  tx: Transaction,
  target: IdentityKey,
  holder: string,
  now: number,
): Promise<Ended<number>> {
  const queue = await LockedQueue.hold(tx, target);
  if (queue === undefined) return { value: 0, ended: [] };
  await queue.passTime(now);
  const count = await putBack(queue, ({ state }) => state.kind === 'locked' && state.holder === holder, now);
  await queue.save();
  return { value: count, ended: queue.ended };
}

/** Ends the locks that are meant; how many. */
async function putBack(queue: LockedQueue, isMeant: (locked: StoredCommand) => boolean, now: number): Promise<number> {
  const locked = queue.locked === 0 ? [] : await queue.open().where(isLocked).execute();
  const meant = locked.map(toStored).filter(isMeant);
  for (const before of meant) {
    const detail = before.state.kind === 'locked' ? before.state.holder : '';
    await queue.replace(before, releaseLock(before, now), [{ time: now, step: 'connection-lost', detail }]);
  }
  return meant.length;
}

export async function purgeCommands(tx: Transaction, target: IdentityKey, now: number): Promise<Ended<number>> {
  const queue = await LockedQueue.hold(tx, target);
  if (queue === undefined) return { value: 0, ended: [] };
  await queue.passTime(now);
  const rows = queue.depth === 0 ? [] : await queue.open().execute();
  for (const before of rows.map(toStored)) await queue.replace(before, end(before, 'purged', now), []);
  await queue.save();
  return { value: rows.length, ended: queue.ended };
}

/** Everything of a deleted device and its modules, or of one module, but for the numbers that are not used again. */
export async function forgetCommands(tx: Transaction, target: IdentityKey): Promise<void> {
  const { deviceId, moduleId } = target;
  const emptied = { waiting: 0, locked: 0, next_due: NEVER };
  const queues = tx.updateTable('command_queues').set(emptied).where('device_id', '=', deviceId);
  await (moduleId === undefined ? queues : queues.where('module_id', '=', moduleId)).execute();
  for (const table of ['commands', 'command_receipts'] as const) {
    const removal = tx.deleteFrom(table).where('device_id', '=', deviceId);
    await (moduleId === undefined ? removal : removal.where('module_id', '=', moduleId)).execute();
  }
}

/** Queues that another node holds at the moment are left to it, or to the next sweep. */
export async function sweepCommands(tx: Transaction, now: number, count: number): Promise<Ended<SweepOutcome>> {
  const due = await tx
    .selectFrom('commands')
    .select(['device_id', 'module_id'])
    .where(isOpen)
    .where('due', '<=', now)
    .orderBy('due')
    .limit(count)
    .execute();
  const targets = new Map(due.map((row) => [`${row.device_id}/${row.module_id}`, keyOfRow(row)]));
  const ended: EndedCommand[] = [];
  const deliverable: IdentityKey[] = [];
  for (const target of targets.values()) {
    const queue = await LockedQueue.hold(tx, target, true);
    if (queue === undefined) continue;
    const lockedBefore = queue.locked;
    await queue.passTime(now, Math.max(1, count - ended.length));
    await queue.save();
    ended.push(...queue.ended);
    if (queue.locked < lockedBefore && queue.waiting > 0) deliverable.push(target);
  }
  const next = await tx.selectFrom('commands').select('due').where(isOpen).orderBy('due').limit(1).executeTakeFirst();
  const value = { ended: ended.length, deliverable };
  return { value: next === undefined ? value : { ...value, nextDue: Number(next.due) }, ended };
}

/** Their messages and trails go along; the oldest first. */
export async function removeEndedCommands(tx: Transaction, before: number, count: number): Promise<number> {
  const rows = await tx
    .selectFrom('commands')
    .select(['device_id', 'module_id', 'sequence'])
    .where(sql<boolean>`state >= 2`)
    .where('ended_time', '<', before)
    .orderBy('ended_time')
    .limit(count)
    .execute();
  let removed = 0;
  for (const row of rows) {
    const deleted = await tx
      .deleteFrom('commands')
      .where('device_id', '=', row.device_id)
      .where('module_id', '=', row.module_id)
      .where('sequence', '=', row.sequence)
      .executeTakeFirst();
    removed += Number(deleted.numDeletedRows);
  }
  return removed;
}
