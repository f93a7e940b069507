/** The receipts of a whole hub, for its back ends. */

import type { Selectable } from 'kysely';
import type { ReceiptRequest } from '../../core/commands/ports.ts';
import type { CommandOutcome, Receipt, ReceiptBatch } from '../../core/commands/types.ts';
import { keyOfRow } from './command-rows.ts';
import { addSteps, type CommandPlace } from './command-trails.ts';
import { lockingRows, padded } from './engine.ts';
import type { CommandReceiptRow, Transaction } from './schema.ts';

/** Several back ends, on several nodes, ask at the same time: each leaves out what another is being handed. */
export async function lockReceipts(
  tx: Transaction,
  request: ReceiptRequest,
  now: number,
): Promise<ReceiptBatch | undefined> {
  const query = tx
    .selectFrom('command_receipts')
    .selectAll()
    .where('enqueued_time', '>', request.endedBefore)
    .where('locked_until', '<=', now)
    .orderBy('enqueued_time')
    .orderBy('sequence')
    .limit(request.count);
  const rows = await lockingRows(tx, query, true).execute();
  if (rows.length === 0) return undefined;
  if (rows.length < request.count && Number(rows[0].enqueued_time) > request.notAfter) return undefined;
  const lockedUntil = now + request.lockMs;
  const sequences = rows.map((row) => Number(row.sequence));
  await addSteps(tx, rows.map(placeOf), { time: now, step: 'receipt-handed-over', detail: request.reader });
  await tx
    .updateTable('command_receipts')
    .set({ lock_token: request.lockToken, locked_until: lockedUntil })
    .where('sequence', 'in', padded(sequences))
    .execute();
  return { lockToken: request.lockToken, lockedUntil, receipts: rows.map(toReceipt) };
}

export async function settleReceipts(
  tx: Transaction,
  lockToken: string,
  settlement: 'complete' | 'abandon',
  now: number,
): Promise<boolean> {
  if (settlement === 'complete') {
    await noteRead(tx, lockToken, now);
    const deleted = await tx
      .deleteFrom('command_receipts')
      .where('lock_token', '=', lockToken)
      .where('locked_until', '>', now)
      .executeTakeFirst();
    return Number(deleted.numDeletedRows) > 0;
  }
  const updated = await tx
    .updateTable('command_receipts')
    .set({ lock_token: null, locked_until: 0 })
    .where('lock_token', '=', lockToken)
    .where('locked_until', '>', now)
    .executeTakeFirst();
  return Number(updated.numUpdatedRows) > 0;
}

async function noteRead(tx: Transaction, lockToken: string, now: number): Promise<void> {
  const query = tx
    .selectFrom('command_receipts')
    .select(['device_id', 'module_id', 'command_sequence'])
    .where('lock_token', '=', lockToken)
    .where('locked_until', '>', now)
    .orderBy('enqueued_time')
    .orderBy('sequence');
  const rows = await lockingRows(tx, query).execute();
  await addSteps(tx, rows.map(placeOf), { time: now, step: 'receipt-read', detail: '' });
}

function placeOf(
  row: Pick<Selectable<CommandReceiptRow>, 'device_id' | 'module_id' | 'command_sequence'>,
): CommandPlace {
  return { device_id: row.device_id, module_id: row.module_id, sequence: Number(row.command_sequence) };
}

/** Removes those that nobody fetched in their time, and nobody holds; the oldest first. */
export async function dropReceipts(tx: Transaction, endedBefore: number, count: number, now: number): Promise<number> {
  const deleted = await tx
    .deleteFrom('command_receipts')
    .where('sequence', 'in', (build) =>
      build
        .selectFrom('command_receipts')
        .select('sequence')
        .where('enqueued_time', '<=', endedBefore)
        .where('locked_until', '<=', now)
        .orderBy('enqueued_time')
        .limit(count),
    )
    .where('locked_until', '<=', now)
    .executeTakeFirst();
  return Number(deleted.numDeletedRows);
}

function toReceipt(row: Selectable<CommandReceiptRow>): Receipt {
  return {
    sequence: Number(row.sequence),
    originalMessageId: row.message_id,
    ...keyOfRow(row),
    deviceGenerationId: row.generation_id,
    enqueuedTime: Number(row.enqueued_time),
    outcome: row.outcome as CommandOutcome,
  };
}
