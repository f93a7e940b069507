/** How a command comes into its identity's queue: a place is taken in the queue's row, then its rows are written. */
import { sql } from 'kysely';
import { sentAgainSteps } from '../../core/commands/lifecycle.ts';
import type { EnqueueOutcome, NewCommand } from '../../core/commands/ports.ts';
import type { CommandLimits } from '../../core/commands/types.ts';
import { changingColumns, type StoredCommand, toMessageColumns } from './command-rows.ts';
import { addSteps } from './command-trails.ts';
import type { Ended } from './commands.ts';
import { keepingRows } from './engine.ts';
import { LockedQueue } from './locked-queue.ts';
import type { Transaction } from './schema.ts';

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
