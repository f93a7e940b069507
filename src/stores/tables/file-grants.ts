/** Which device may fetch which file, and how far it has come. */
import type { Selectable } from 'kysely';
import type { GrantFilter, GrantOutcome } from '../../core/files/ports.ts';
import type { FetchProgress, FileGrant } from '../../core/files/types.ts';
import type { IdentityKey } from '../../core/identity/types.ts';
import { keyOfRow } from './command-rows.ts';
import { lockingRows } from './engine.ts';
import type { FileGrantRow, Transaction } from './schema.ts';

export async function grantFiles(
  tx: Transaction,
  grants: readonly FileGrant[],
  perIdentityMax: number,
  now: number,
): Promise<readonly GrantOutcome[]> {
  const outcomes: GrantOutcome[] = [];
  for (const grant of grants) outcomes.push(await grantFile(tx, grant, perIdentityMax, now));
  return outcomes;
}

async function grantFile(tx: Transaction, grant: FileGrant, max: number, now: number): Promise<GrantOutcome> {
  const { device_id, module_id } = columnsOf(grant.key);
  // The identity's row is held: a deletion comes before or after, and two requests do not both find the last place free.
  const owner = tx
    .selectFrom('identities')
    .select('generation_id')
    .where('device_id', '=', device_id)
    .where('module_id', '=', module_id);
  if ((await lockingRows(tx, owner).executeTakeFirst())?.generation_id !== grant.generationId) return 'gone';
  await tx
    .updateTable('file_grants')
    .set({ expires_at: now })
    .where('device_id', '=', device_id)
    .where('module_id', '=', module_id)
    .where('name', '=', grant.name)
    .where('expires_at', '>', now)
    .execute();
  const { open } = await tx
    .selectFrom('file_grants')
    .select((build) => build.fn.countAll().as('open'))
    .where('device_id', '=', device_id)
    .where('module_id', '=', module_id)
    .where('expires_at', '>', now)
    .executeTakeFirstOrThrow();
  if (Number(open) >= max) return 'full';
  await tx.insertInto('file_grants').values(toRow(grant)).execute();
  return 'granted';
}

export async function findGrant(tx: Transaction, id: string): Promise<FileGrant | undefined> {
  const row = await tx.selectFrom('file_grants').selectAll().where('id', '=', id).executeTakeFirst();
  return row && toGrant(row);
}

export async function findGrantByName(
  tx: Transaction,
  key: IdentityKey,
  name: string,
  now: number,
): Promise<FileGrant | undefined> {
  const { device_id, module_id } = columnsOf(key);
  const row = await tx
    .selectFrom('file_grants')
    .selectAll()
    .where('device_id', '=', device_id)
    .where('module_id', '=', module_id)
    .where('name', '=', name)
    .where('expires_at', '>', now)
    .orderBy('sequence', 'desc')
    .executeTakeFirst();
  return row && toGrant(row);
}

export async function listGrants(
  tx: Transaction,
  of: GrantFilter,
  page: { readonly after?: string; readonly limit: number },
): Promise<readonly FileGrant[]> {
  let query = tx.selectFrom('file_grants').selectAll();
  if ('key' in of) {
    const { device_id, module_id } = columnsOf(of.key);
    query = query.where('device_id', '=', device_id).where('module_id', '=', module_id);
  } else query = query.where('path', '=', of.path);
  if (page.after !== undefined) {
    const { after } = page;
    query = query.where('sequence', '<', (build) =>
      build.selectFrom('file_grants').select('sequence').where('id', '=', after),
    );
  }
  const rows = await query.orderBy('sequence', 'desc').limit(page.limit).execute();
  return rows.map(toGrant);
}

export async function noteProgress(tx: Transaction, id: string, progress: FetchProgress): Promise<void> {
  await tx
    .updateTable('file_grants')
    .set({
      etag: progress.etag,
      bytes: progress.bytes,
      sent_bytes: progress.sentBytes,
      first_time: progress.firstTime,
      last_time: progress.lastTime,
      completed_time: progress.completedTime ?? null,
    })
    .where('id', '=', id)
    .execute();
}

export async function revokeGrant(tx: Transaction, id: string): Promise<boolean> {
  const deleted = await tx.deleteFrom('file_grants').where('id', '=', id).executeTakeFirst();
  return Number(deleted.numDeletedRows) > 0;
}

export async function forgetGrants(tx: Transaction, key: IdentityKey): Promise<void> {
  const { device_id, module_id } = columnsOf(key);
  await tx.deleteFrom('file_grants').where('device_id', '=', device_id).where('module_id', '=', module_id).execute();
}

export async function sweepGrants(tx: Transaction, before: number, count: number): Promise<number> {
  const deleted = await tx
    .deleteFrom('file_grants')
    .where('sequence', 'in', (build) =>
      build
        .selectFrom('file_grants')
        .select('sequence')
        .where('expires_at', '<', before)
        .orderBy('expires_at')
        .limit(count),
    )
    .executeTakeFirst();
  return Number(deleted.numDeletedRows);
}

function columnsOf(key: IdentityKey): { device_id: string; module_id: string } {
  return { device_id: key.deviceId, module_id: key.moduleId ?? '' };
}

function toRow(grant: FileGrant) {
  return {
    id: grant.id,
    ...columnsOf(grant.key),
    generation_id: grant.generationId,
    path: grant.path,
    name: grant.name,
    created_time: grant.createdTime,
    expires_at: grant.expiresAt,
    granted_by: grant.grantedBy,
    etag: null,
    bytes: 0,
    sent_bytes: 0,
    first_time: 0,
    last_time: 0,
    completed_time: null,
  };
}

function toGrant(row: Selectable<FileGrantRow>): FileGrant {
  return {
    id: row.id,
    key: keyOfRow(row),
    generationId: row.generation_id,
    path: row.path,
    name: row.name,
    createdTime: Number(row.created_time),
    expiresAt: Number(row.expires_at),
    grantedBy: row.granted_by,
    fetched:
      row.etag === null
        ? undefined
        : {
            etag: row.etag,
            bytes: Number(row.bytes),
            sentBytes: Number(row.sent_bytes),
            firstTime: Number(row.first_time),
            lastTime: Number(row.last_time),
            completedTime: row.completed_time === null ? undefined : Number(row.completed_time),
          },
  };
}
