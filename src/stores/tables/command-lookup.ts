/** What is looked up about commands, open and ended. Nothing of it changes any. */
import { sql } from 'kysely';
import { limits } from '../../base/limits.ts';
import type { CommandChoice, CommandTotals } from '../../core/commands/ports.ts';
import type { Command, TrailEntry } from '../../core/commands/types.ts';
import type { IdentityKey } from '../../core/identity/types.ts';
import { type StoredCommand, toCommand, toStored } from './command-rows.ts';
import { padded } from './engine.ts';
import { isOpen, isWaiting } from './locked-queue.ts';
import type { Transaction } from './schema.ts';

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

export async function deadCommands(tx: Transaction, target: IdentityKey, count: number): Promise<readonly Command[]> {
  const rows = await commandsOf(tx, target)
    .where(sql<boolean>`state >= 3`)
    .orderBy('sequence', 'desc')
    .limit(count)
    .execute();
  return withMessages(tx, target, rows.map(toStored));
}

/** The newest of them, at most `commandsFoundMax` and one. */
export async function findCommands(
  tx: Transaction,
  target: IdentityKey,
  by: CommandChoice,
): Promise<readonly Command[]> {
  const all = commandsOf(tx, target);
  const some =
    'newest' in by
      ? all
      : 'sequence' in by
        ? all.where('sequence', '=', by.sequence)
        : all.where('message_id', '=', by.messageId);
  const max = limits.commandsFoundMax + 1;
  const count = 'newest' in by ? Math.min(by.newest, max) : limits.commandsFoundMax;
  const rows = await some.orderBy('sequence', 'desc').limit(count).execute();
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

/** The commands with their messages, which are stored apart. */
export async function withMessages(
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
