/** Uploads under way, and what back ends are to be told of those that ended well. */
import type { Selectable } from 'kysely';
import type { FoundUpload, NewNotification, NotificationRequest, OpenOutcome } from '../../core/files/ports.ts';
import type { LockedNotification, Upload } from '../../core/files/types.ts';
import type { IdentityKey } from '../../core/identity/types.ts';
import { keyOfRow } from './command-rows.ts';
import { keepingRows, lockingRows } from './engine.ts';
import type { FileNotificationRow, Transaction } from './schema.ts';

export async function openUpload(tx: Transaction, upload: Upload, openMax: number, now: number): Promise<OpenOutcome> {
  const { device_id, module_id } = columnsOf(upload.key);
  // The identity's row is held: two that ask at once must not both find the last place free.
  const owner = tx
    .selectFrom('identities')
    .select('generation_id')
    .where('device_id', '=', device_id)
    .where('module_id', '=', module_id);
  const row = await lockingRows(tx, owner).executeTakeFirst();
  if (row?.generation_id !== upload.generationId) return { kind: 'gone' };
  const { open } = await tx
    .selectFrom('file_uploads')
    .select((build) => build.fn.countAll().as('open'))
    .where('device_id', '=', device_id)
    .where('module_id', '=', module_id)
    .where('is_open', '=', 1)
    .where('expires_at', '>', now)
    .executeTakeFirstOrThrow();
  if (Number(open) >= openMax) return { kind: 'full', open: Number(open) };
  await tx
    .insertInto('file_uploads')
    .values({
      device_id,
      module_id,
      correlation_id: upload.correlationId,
      generation_id: upload.generationId,
      path: upload.path,
      opened_time: upload.openedTime,
      expires_at: upload.expiresAt,
      is_open: 1,
    })
    .execute();
  return { kind: 'opened' };
}

export async function findUpload(
  tx: Transaction,
  key: IdentityKey,
  correlationId: string,
): Promise<FoundUpload | undefined> {
  const row = await tx
    .selectFrom('file_uploads')
    .selectAll()
    .where('device_id', '=', key.deviceId)
    .where('module_id', '=', key.moduleId ?? '')
    .where('correlation_id', '=', correlationId)
    .executeTakeFirst();
  return (
    row && {
      correlationId: row.correlation_id,
      key: keyOfRow(row),
      generationId: row.generation_id,
      path: row.path,
      openedTime: Number(row.opened_time),
      expiresAt: Number(row.expires_at),
      isOpen: row.is_open === 1,
    }
  );
}

export async function closeUpload(
  tx: Transaction,
  key: IdentityKey,
  correlationId: string,
  notification: NewNotification | undefined,
  now: number,
): Promise<boolean> {
  const { device_id, module_id } = columnsOf(key);
  // An identity that is being deleted takes its uploads along before or after this, not in between.
  await keepingRows(
    tx,
    tx
      .selectFrom('identities')
      .select('generation_id')
      .where('device_id', '=', device_id)
      .where('module_id', '=', module_id),
  ).execute();
  const closed = await tx
    .updateTable('file_uploads')
    .set({ is_open: 0 })
    .where('device_id', '=', device_id)
    .where('module_id', '=', module_id)
    .where('correlation_id', '=', correlationId)
    .where('is_open', '=', 1)
    .where('expires_at', '>', now)
    .executeTakeFirst();
  if (Number(closed.numUpdatedRows) === 0) return false;
  if (notification === undefined) return true;
  await tx
    .insertInto('file_notifications')
    .values({
      device_id,
      module_id,
      path: notification.path,
      blob_uri: notification.blobUri,
      bytes: notification.bytes,
      last_modified: notification.lastModified,
      enqueued_time: notification.enqueuedTime,
      expires_at: notification.expiresAt,
      lock_token: null,
      locked_until: 0,
      delivery_count: 0,
    })
    .execute();
  return true;
}

export async function forgetUploads(tx: Transaction, key: IdentityKey): Promise<void> {
  await tx
    .deleteFrom('file_uploads')
    .where('device_id', '=', key.deviceId)
    .where('module_id', '=', key.moduleId ?? '')
    .execute();
}

/** Several back ends, on several nodes, ask at the same time: each leaves out what another is being handed. */
export async function lockNotification(
  tx: Transaction,
  { lockToken, lockMs }: NotificationRequest,
  now: number,
): Promise<LockedNotification | undefined> {
  const query = tx
    .selectFrom('file_notifications')
    .selectAll()
    .where('expires_at', '>', now)
    .where('locked_until', '<=', now)
    .orderBy('sequence')
    .limit(1);
  const row = await lockingRows(tx, query, true).executeTakeFirst();
  if (row === undefined) return undefined;
  const lockedUntil = now + lockMs;
  await tx
    .updateTable('file_notifications')
    .set({ lock_token: lockToken, locked_until: lockedUntil })
    .where('sequence', '=', row.sequence)
    .execute();
  return { notification: toNotification(row), lockToken, lockedUntil, deliveryCount: row.delivery_count };
}

export async function settleNotification(
  tx: Transaction,
  lockToken: string,
  settlement: 'complete' | 'abandon',
  deliveryCountMax: number,
  now: number,
): Promise<boolean> {
  const query = tx
    .selectFrom('file_notifications')
    .select(['sequence', 'delivery_count'])
    .where('lock_token', '=', lockToken)
    .where('locked_until', '>', now);
  const row = await lockingRows(tx, query).executeTakeFirst();
  if (row === undefined) return false;
  if (settlement === 'complete' || row.delivery_count + 1 >= deliveryCountMax) {
    await tx.deleteFrom('file_notifications').where('sequence', '=', row.sequence).execute();
    return true;
  }
  await tx
    .updateTable('file_notifications')
    .set({ lock_token: null, locked_until: 0, delivery_count: row.delivery_count + 1 })
    .where('sequence', '=', row.sequence)
    .execute();
  return true;
}

/** What nobody needs any more; a notification that is held is left to its back end. */
export async function sweepFiles(tx: Transaction, count: number, now: number): Promise<number> {
  const uploads = await tx
    .deleteFrom('file_uploads')
    .where('correlation_id', 'in', (build) =>
      build
        .selectFrom('file_uploads')
        .select('correlation_id')
        .where('expires_at', '<=', now)
        .orderBy('expires_at')
        .limit(count),
    )
    .where('expires_at', '<=', now)
    .executeTakeFirst();
  const notifications = await tx
    .deleteFrom('file_notifications')
    .where('sequence', 'in', (build) =>
      build
        .selectFrom('file_notifications')
        .select('sequence')
        .where('expires_at', '<=', now)
        .where('locked_until', '<=', now)
        .orderBy('expires_at')
        .limit(count),
    )
    .where('locked_until', '<=', now)
    .executeTakeFirst();
  return Number(uploads.numDeletedRows) + Number(notifications.numDeletedRows);
}

export async function fileTotals(
  tx: Transaction,
  now: number,
): Promise<{ readonly uploadsOpen: number; readonly notifications: number }> {
  const uploads = await tx
    .selectFrom('file_uploads')
    .select((build) => build.fn.countAll().as('count'))
    .where('is_open', '=', 1)
    .where('expires_at', '>', now)
    .executeTakeFirstOrThrow();
  const notifications = await tx
    .selectFrom('file_notifications')
    .select((build) => build.fn.countAll().as('count'))
    .where('expires_at', '>', now)
    .executeTakeFirstOrThrow();
  return { uploadsOpen: Number(uploads.count), notifications: Number(notifications.count) };
}

function columnsOf(key: IdentityKey): { device_id: string; module_id: string } {
  return { device_id: key.deviceId, module_id: key.moduleId ?? '' };
}

function toNotification(row: Selectable<FileNotificationRow>): LockedNotification['notification'] {
  return {
    sequence: Number(row.sequence),
    key: keyOfRow(row),
    path: row.path,
    blobUri: row.blob_uri,
    bytes: Number(row.bytes),
    lastModified: Number(row.last_modified),
    enqueuedTime: Number(row.enqueued_time),
  };
}
