/**
 * What is asked of the commands of one identity, each call a part of one transaction. Every one that changes something
 * answers what its caller is to know (`value`) and which commands ended on the way (`ended`).
 */
import { sql } from 'kysely';
import { limits } from '../../base/limits.ts';
import {
  end,
  handOver,
  handOverDetail,
  releaseLock,
  type Settlement,
  sentAgainSteps,
  settle,
} from '../../core/commands/lifecycle.ts';
import type {
  CommandTotals,
  EndedCommand,
  EnqueueOutcome,
  NewCommand,
  SettleOutcome,
  SweepOutcome,
} from '../../core/commands/ports.ts';
import type { Command, CommandLimits, TrailEntry } from '../../core/commands/types.ts';
import type { IdentityKey } from '../../core/identity/types.ts';
import {
  changingColumns,
  keyOfRow,
  NEVER,
  type StoredCommand,
  toCommand,
  toMessageColumns,
  toStored,
} from './command-rows.ts';
import { addSteps } from './command-trails.ts';
import { keepingRows, padded } from './engine.ts';
import { isLocked, isOpen, isWaiting, LockedQueue } from './locked-queue.ts';
import type { Transaction } from './schema.ts';

export interface Ended<Value> {
  readonly value: Value;
  readonly ended: readonly EndedCommand[];
}

/** Lock tokens, one for each command that may be handed over, and who holds them for how long. */
export interface LockWish {
  readonly tokens: readonly string[];
  readonly holder: string;
  readonly lockMs: number;
}

export async function enqueueCommand(
  tx: Transaction,
  command: NewCommand,
  bounds: CommandLimits,
  now: number,
): Promise<Ended<EnqueueOutcome>> {
  if (!(await isThere(tx, command))) return { value: { kind: 'gone' }, ended: [] };
  // Nearly always one statement finds the place, counts it and holds the row; else something is due, or it is full.
  let sequence = await takePlace(tx, command, bounds.queueDepthMax, now);
  if (sequence !== undefined) {
    await insertCommand(tx, command, sequence, now);
    return { value: { kind: 'enqueued', sequence }, ended: [] };
  }
  const queue = (await LockedQueue.hold(tx, command.target))!;
  await queue.passTime(now);
  await queue.save();
  sequence = await takePlace(tx, command, bounds.queueDepthMax, now);
  if (sequence === undefined) return { value: { kind: 'full', depth: queue.depth }, ended: queue.ended };
  await insertCommand(tx, command, sequence, now);
  return { value: { kind: 'enqueued', sequence }, ended: queue.ended };
}

/**
 * Whether the generation that the command is for exists, and stays so until the transaction ends: a deletion waits for
 * it, and then takes the command along.
 */
async function isThere(tx: Transaction, { target, generationId }: NewCommand): Promise<boolean> {
  const query = tx
    .selectFrom('identities')
    .select('generation_id')
    .where('device_id', '=', target.deviceId)
    .where('module_id', '=', target.moduleId ?? '');
  const row = await keepingRows(tx, query).executeTakeFirst();
  return row?.generation_id === generationId;
}

/** The next sequence number, counted as waiting; undefined when the queue is full, or may not be once time has passed. */
async function takePlace(
  tx: Transaction,
  { target, expiresAt }: NewCommand,
  depthMax: number,
  now: number,
): Promise<number | undefined> {
  const row = await tx
    .insertInto('command_queues')
    .values({
      device_id: target.deviceId,
      module_id: target.moduleId ?? '',
      last_sequence: 1,
      waiting: 1,
      locked: 0,
      next_due: expiresAt,
    })
    .onConflict((conflict) =>
      conflict
        .columns(['device_id', 'module_id'])
        .doUpdateSet({
          last_sequence: sql`command_queues.last_sequence + 1`,
          waiting: sql`command_queues.waiting + 1`,
          next_due: sql`case when command_queues.next_due < excluded.next_due
            then command_queues.next_due else excluded.next_due end`,
        })
        .where(sql<boolean>`command_queues.waiting + command_queues.locked < ${depthMax}`)
        .where('command_queues.next_due', '>', now),
    )
    .returning('last_sequence')
    .executeTakeFirst();
  return row && Number(row.last_sequence);
}

async function insertCommand(tx: Transaction, command: NewCommand, sequence: number, now: number): Promise<void> {
  const { target, message } = command;
  const place = { device_id: target.deviceId, module_id: target.moduleId ?? '', sequence };
  const steps = command.sentAgain === undefined ? undefined : sentAgainSteps(command.sentAgain, sequence);
  if (steps !== undefined) {
    const dead = { device_id: place.device_id, module_id: place.module_id, sequence: command.sentAgain! };
    await addSteps(tx, [dead], { time: now, step: 'sent-again', detail: steps.dead });
  }
  const stored: StoredCommand = {
    target,
    generationId: command.generationId,
    sequence,
    messageId: message.messageId ?? null,
    ack: message.ack,
    enqueuedTime: now,
    expiresAt: command.expiresAt,
    deliveryCount: 0,
    handedOver: 0,
    state: { kind: 'enqueued' },
    trail: [{ time: now, step: 'enqueued', detail: steps?.again ?? '' }],
  };
  await tx
    .insertInto('commands')
    .values({
      ...place,
      generation_id: stored.generationId,
      message_id: stored.messageId,
      ack: stored.ack,
      enqueued_time: stored.enqueuedTime,
      expires_at: stored.expiresAt,
      ...changingColumns(stored),
    })
    .execute();
  await tx
    .insertInto('command_messages')
    .values({ ...place, ...toMessageColumns(message) })
    .execute();
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
  const held = queue.locked === 0 ? [] : await queue.open().where(isLocked).where('holder', '=', holder).execute();
  for (const before of held.map(toStored)) {
    await queue.replace(before, releaseLock(before, now), [{ time: now, step: 'connection-lost', detail: holder }]);
  }
  await queue.save();
  return { value: held.length, ended: queue.ended };
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

/** Commands that wait or are locked; those whose time is over do not count, whether or not they were swept. */
export async function commandDepths(
  tx: Transaction,
  targets: readonly IdentityKey[],
  now: number,
): Promise<readonly number[]> {
  const depths: number[] = [];
  for (const { deviceId, moduleId = '' } of targets) {
    const row = await tx
      .selectFrom('command_queues')
      .select(['waiting', 'locked', 'next_due'])
      .where('device_id', '=', deviceId)
      .where('module_id', '=', moduleId)
      .executeTakeFirst();
    let depth = row === undefined ? 0 : row.waiting + row.locked;
    if (row !== undefined && Number(row.next_due) <= now) {
      const over = await tx
        .selectFrom('commands')
        .select((build) => build.fn.countAll().as('count'))
        .where('device_id', '=', deviceId)
        .where('module_id', '=', moduleId)
        .where(isOpen)
        .where('due', '<=', now)
        .where('expires_at', '<=', now)
        .executeTakeFirstOrThrow();
      depth -= Number(over.count);
    }
    depths.push(depth);
  }
  return depths;
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

export async function deadCommands(tx: Transaction, target: IdentityKey, count: number): Promise<readonly Command[]> {
  const rows = await commandsOf(tx, target)
    .where(sql<boolean>`state >= 3`)
    .orderBy('sequence', 'desc')
    .limit(count)
    .execute();
  return withMessages(tx, target, rows.map(toStored));
}

/** The newest of them, at most `commandsFoundMax`. */
export async function findCommands(
  tx: Transaction,
  target: IdentityKey,
  by: { readonly messageId: string } | { readonly sequence: number },
): Promise<readonly Command[]> {
  const all = commandsOf(tx, target);
  const some = 'sequence' in by ? all.where('sequence', '=', by.sequence) : all.where('message_id', '=', by.messageId);
  const rows = await some.orderBy('sequence', 'desc').limit(limits.commandsFoundMax).execute();
  return withMessages(tx, target, rows.map(toStored));
}

export async function commandTrail(
  tx: Transaction,
  target: IdentityKey,
  sequence: number,
): Promise<readonly TrailEntry[]> {
  const row = await commandsOf(tx, target).where('sequence', '=', sequence).executeTakeFirst();
  return row === undefined ? [] : toStored(row).trail;
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

/** What is open, as of the last sweep. Sums over the queues' rows, so that nobody counts a million commands. */
export async function commandSums(tx: Transaction): Promise<Omit<CommandTotals, 'outcomes'>> {
  const queues = await tx
    .selectFrom('command_queues')
    .select((build) => [build.fn.sum('waiting').as('waiting'), build.fn.sum('locked').as('locked')])
    .executeTakeFirstOrThrow();
  const receipts = await tx
    .selectFrom('command_receipts')
    .select((build) => build.fn.countAll().as('count'))
    .executeTakeFirstOrThrow();
  const oldest = await tx
    .selectFrom('commands')
    .select('enqueued_time')
    .where(isOpen)
    .where(isWaiting)
    .orderBy('enqueued_time')
    .limit(1)
    .executeTakeFirst();
  const sums = {
    waiting: Number(queues.waiting ?? 0),
    locked: Number(queues.locked ?? 0),
    receipts: Number(receipts.count),
  };
  return oldest === undefined ? sums : { ...sums, oldestEnqueuedTime: Number(oldest.enqueued_time) };
}

function commandsOf(tx: Transaction, target: IdentityKey) {
  return tx
    .selectFrom('commands')
    .selectAll()
    .where('device_id', '=', target.deviceId)
    .where('module_id', '=', target.moduleId ?? '');
}

async function withMessages(
  tx: Transaction,
  target: IdentityKey,
  commands: readonly StoredCommand[],
): Promise<readonly Command[]> {
  if (commands.length === 0) return [];
  const sequences = commands.map((command) => command.sequence);
  const rows = await tx
    .selectFrom('command_messages')
    .select(['sequence', 'header', 'body'])
    .where('device_id', '=', target.deviceId)
    .where('module_id', '=', target.moduleId ?? '')
    .where('sequence', 'in', padded(sequences))
    .execute();
  const messages = new Map(rows.map((row) => [Number(row.sequence), row]));
  return commands.map((command) => toCommand(command, messages.get(command.sequence)!));
}
