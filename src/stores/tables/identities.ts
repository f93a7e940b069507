import { sql } from 'kysely';
import { identityName } from '../../core/identity/permissions.ts';
import type { IdentityChange, IdentityCounts, IdentityWrite, IdentityWriteOutcome } from '../../core/identity/ports.ts';
import type { AuthenticationType, Identity, IdentityKey, IdentityStatus } from '../../core/identity/types.ts';
import { forgetCommands } from './commands.ts';
import { markIdentities } from './configuration-marks.ts';
import { engineOf } from './engine.ts';
import type { KeyCipher } from './key-cipher.ts';
import { keepLifecycle, twinsOf } from './lifecycle-events.ts';
import type { IdentityRow, Transaction } from './schema.ts';

export async function getIdentity(tx: Transaction, cipher: KeyCipher, key: IdentityKey): Promise<Identity | undefined> {
  const row = await rowOf(tx, key);
  return row && toIdentity(row, cipher);
}

export async function listDevices(
  tx: Transaction,
  cipher: KeyCipher,
  page: { readonly after?: string; readonly limit: number },
): Promise<readonly Identity[]> {
  const rows = await tx
    .selectFrom('identities')
    .selectAll()
    // Written out, because a partial index is used only where its condition stands in the text.
    .where(sql<boolean>`module_id = ''`)
    .where('device_id', '>', page.after ?? '')
    .orderBy('device_id')
    .limit(page.limit)
    .execute();
  return rows.map((row) => toIdentity(row, cipher));
}

export async function listModules(tx: Transaction, cipher: KeyCipher, deviceId: string): Promise<readonly Identity[]> {
  return (await moduleRows(tx, deviceId)).map((row) => toIdentity(row, cipher));
}

/** A device has one parent at most, so the column is the same text for all children of one. */
export async function listChildren(
  tx: Transaction,
  cipher: KeyCipher,
  scope: string,
  page: { readonly after?: string; readonly limit: number },
): Promise<readonly Identity[]> {
  const rows = await tx
    .selectFrom('identities')
    .selectAll()
    .where(sql<boolean>`parent_scopes <> '[]'`)
    .where('parent_scopes', '=', JSON.stringify([scope]))
    .where('device_id', '>', page.after ?? '')
    .orderBy('device_id')
    .limit(page.limit)
    .execute();
  return rows.map((row) => toIdentity(row, cipher));
}

export async function countIdentities(tx: Transaction): Promise<IdentityCounts> {
  const rows = engineOf(tx).locksRows
    ? (
        await sql<{ status: string; count: number }>`
          select status, sum(count)::bigint as count from (
            select status, count from identity_counts union all select status, count from identity_count_parts
          ) as parts group by status`.execute(tx)
      ).rows
    : await tx.selectFrom('identity_counts').selectAll().execute();
  const of = (status: IdentityStatus): number => Number(rows.find((row) => row.status === status)?.count ?? 0);
  return { devices: of('enabled') + of('disabled'), enabled: of('enabled'), disabled: of('disabled') };
}

/** Carries out the writes in order; `changes` is what to tell the watchers once the transaction is durable. */
/** @param eventTime UTC milliseconds, where events of created and deleted identities are to be kept */
export async function writeIdentities(
  tx: Transaction,
  cipher: KeyCipher,
  writes: readonly IdentityWrite[],
  eventTime?: number,
): Promise<{
  readonly outcomes: readonly IdentityWriteOutcome[];
  readonly changes: readonly IdentityChange[];
  /** Configurations are to be looked at. */
  readonly isMarked: boolean;
}> {
  const changes: IdentityChange[] = [];
  const outcomes: IdentityWriteOutcome[] = [];
  for (const write of writes) {
    const before = changes.length;
    const last = eventTime !== undefined && write.kind === 'delete' ? await twinsOf(tx, write.key) : new Map();
    const outcome = await apply(tx, cipher, write, changes);
    if (outcome.kind === 'done' && write.kind !== 'delete') await addModules(tx, cipher, write.modules ?? [], changes);
    outcomes.push(outcome);
    if (eventTime !== undefined) await keepLifecycle(tx, changes.slice(before), last, eventTime);
  }
  return { outcomes, changes, isMarked: await markIdentities(tx, changes) };
}

function apply(
  tx: Transaction,
  cipher: KeyCipher,
  write: IdentityWrite,
  changes: IdentityChange[],
): Promise<IdentityWriteOutcome> {
  switch (write.kind) {
    case 'create':
      return create(tx, cipher, write.identity, write.countMax, changes);
    case 'replace':
      return replace(tx, cipher, write.identity, write.ifMatch, changes);
    case 'delete':
      return remove(tx, cipher, write.key, write.ifMatch, changes);
  }
}

/** Those of a device's modules that it does not have yet; their number is not looked at. */
async function addModules(
  tx: Transaction,
  cipher: KeyCipher,
  modules: readonly Identity[],
  changes: IdentityChange[],
): Promise<void> {
  for (const module of modules) await create(tx, cipher, module, Number.POSITIVE_INFINITY, changes);
}

async function create(
  tx: Transaction,
  cipher: KeyCipher,
  identity: Identity,
  countMax: number,
  changes: IdentityChange[],
): Promise<IdentityWriteOutcome> {
  const { deviceId, moduleId } = identity;
  if (moduleId !== undefined && (await rowOf(tx, { deviceId })) === undefined) return { kind: 'deviceNotFound' };
  if ((await rowOf(tx, identity)) !== undefined) return { kind: 'exists' };
  const count = moduleId === undefined ? (await countIdentities(tx)).devices : await countModules(tx, deviceId);
  if (count >= countMax) return { kind: 'full' };
  const inserted = await tx
    .insertInto('identities')
    .values(toRow(identity, cipher))
    .onConflict((conflict) => conflict.columns(['device_id', 'module_id']).doNothing())
    .executeTakeFirst();
  if (Number(inserted.numInsertedOrUpdatedRows) === 0) return { kind: 'exists' };
  if (moduleId === undefined) await addToCount(tx, identity.status, 1);
  changes.push({ kind: 'created', identity });
  return { kind: 'done', identity };
}

async function replace(
  tx: Transaction,
  cipher: KeyCipher,
  wanted: Identity,
  ifMatch: string,
  changes: IdentityChange[],
): Promise<IdentityWriteOutcome> {
  const stored = await rowOf(tx, wanted);
  if (stored === undefined) return missing(tx, wanted);
  if (ifMatch !== '*' && ifMatch !== stored.etag) return { kind: 'etagMismatch' };
  const identity: Identity = {
    ...wanted,
    generationId: stored.generation_id,
    statusUpdatedTime: stored.status === wanted.status ? Number(stored.status_updated_time) : wanted.statusUpdatedTime,
  };
  const updated = await tx
    .updateTable('identities')
    .set(toRow(identity, cipher))
    .where('device_id', '=', stored.device_id)
    .where('module_id', '=', stored.module_id)
    .where('etag', '=', stored.etag)
    .executeTakeFirst();
  if (Number(updated.numUpdatedRows) === 0) return { kind: 'etagMismatch' };
  if (wanted.moduleId === undefined && stored.status !== identity.status) {
    await addToCount(tx, stored.status as IdentityStatus, -1);
    await addToCount(tx, identity.status, 1);
  }
  changes.push({ kind: 'replaced', identity, statusChanged: stored.status !== identity.status });
  return { kind: 'done', identity };
}

async function remove(
  tx: Transaction,
  cipher: KeyCipher,
  key: IdentityKey,
  ifMatch: string,
  changes: IdentityChange[],
): Promise<IdentityWriteOutcome> {
  const stored = await rowOf(tx, key);
  if (stored === undefined) return missing(tx, key);
  if (ifMatch !== '*' && ifMatch !== stored.etag) return { kind: 'etagMismatch' };
  const identity = toIdentity(stored, cipher);
  const owned = key.moduleId === undefined ? await moduleRows(tx, key.deviceId) : [];
  // What hangs on the identity goes in the same commit: a crash leaves no session and no command without an owner.
  for (const table of ownedTables) {
    const removal = tx.deleteFrom(table).where('device_id', '=', key.deviceId);
    await (key.moduleId === undefined ? removal : removal.where('module_id', '=', key.moduleId)).execute();
  }
  await forgetCommands(tx, key);
  if (key.moduleId === undefined) await addToCount(tx, identity.status, -1);
  for (const row of owned) changes.push({ kind: 'deleted', identity: toIdentity(row, cipher) });
  changes.push({ kind: 'deleted', identity });
  return { kind: 'done', identity };
}

const ownedTables = [
  'identities',
  'subscriptions',
  'presence_states',
  'twins',
  'twin_documents',
  'twin_patches',
] as const;

async function missing(tx: Transaction, { deviceId, moduleId }: IdentityKey): Promise<IdentityWriteOutcome> {
  const hasDevice = moduleId === undefined || (await rowOf(tx, { deviceId })) !== undefined;
  return { kind: hasDevice ? 'notFound' : 'deviceNotFound' };
}

function rowOf(tx: Transaction, key: IdentityKey): Promise<IdentityRow | undefined> {
  return tx
    .selectFrom('identities')
    .selectAll()
    .where('device_id', '=', key.deviceId)
    .where('module_id', '=', key.moduleId ?? '')
    .executeTakeFirst();
}

function moduleRows(tx: Transaction, deviceId: string): Promise<IdentityRow[]> {
  return tx
    .selectFrom('identities')
    .selectAll()
    .where('device_id', '=', deviceId)
    .where('module_id', '!=', '')
    .orderBy('module_id')
    .execute();
}

async function countModules(tx: Transaction, deviceId: string): Promise<number> {
  const row = await tx
    .selectFrom('identities')
    .select((build) => build.fn.countAll().as('count'))
    .where('device_id', '=', deviceId)
    .where('module_id', '!=', '')
    .executeTakeFirstOrThrow();
  return Number(row.count);
}

async function addToCount(tx: Transaction, status: IdentityStatus, difference: 1 | -1): Promise<void> {
  if (engineOf(tx).locksRows) {
    await sql`update identity_count_parts set count = count + ${difference}
      where status = ${status} and part = pg_backend_pid() % 64`.execute(tx);
    return;
  }
  await tx
    .updateTable('identity_counts')
    .set((build) => ({ count: build('count', '+', difference) }))
    .where('status', '=', status)
    .execute();
}

function toRow(identity: Identity, cipher: KeyCipher): IdentityRow {
  const keys = identity.authentication.symmetricKey;
  return {
    device_id: identity.deviceId,
    module_id: identity.moduleId ?? '',
    generation_id: identity.generationId,
    etag: identity.etag,
    status: identity.status,
    status_reason: identity.statusReason,
    status_updated_time: identity.statusUpdatedTime,
    auth_type: identity.authentication.type,
    primary_key: keys && cipher.seal(keys.primaryKey, sealContext(identity, 'primary_key')),
    secondary_key: keys && cipher.seal(keys.secondaryKey, sealContext(identity, 'secondary_key')),
    primary_thumbprint: identity.authentication.x509Thumbprint?.primaryThumbprint ?? null,
    secondary_thumbprint: identity.authentication.x509Thumbprint?.secondaryThumbprint ?? null,
    iot_edge: identity.capabilities.iotEdge ? 1 : 0,
    device_scope: identity.deviceScope,
    parent_scopes: JSON.stringify(identity.parentScopes),
    managed_by: identity.managedBy,
  };
}

export function toIdentity(row: IdentityRow, cipher: KeyCipher): Identity {
  const key = row.module_id === '' ? { deviceId: row.device_id } : { deviceId: row.device_id, moduleId: row.module_id };
  const open = (field: 'primary_key' | 'secondary_key'): string => {
    try {
      return cipher.open(row[field]!, sealContext(key, field));
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new Error(`${field} of ${identityName(key)} cannot be opened: ${why}`, { cause: error });
    }
  };
  const hasThumbprint = row.primary_thumbprint !== null || row.secondary_thumbprint !== null;
  return {
    ...key,
    generationId: row.generation_id,
    etag: row.etag,
    status: row.status as IdentityStatus,
    statusReason: row.status_reason,
    statusUpdatedTime: Number(row.status_updated_time),
    authentication: {
      type: row.auth_type as AuthenticationType,
      symmetricKey:
        row.primary_key === null ? null : { primaryKey: open('primary_key'), secondaryKey: open('secondary_key') },
      x509Thumbprint: hasThumbprint
        ? { primaryThumbprint: row.primary_thumbprint, secondaryThumbprint: row.secondary_thumbprint }
        : null,
    },
    capabilities: { iotEdge: row.iot_edge === 1 },
    deviceScope: row.device_scope,
    parentScopes: JSON.parse(row.parent_scopes) as readonly string[],
    managedBy: row.managed_by,
  };
}

/** What a sealed key of an identity belongs to. */
export function sealContext(key: IdentityKey, field: string): readonly string[] {
  return ['identities', key.deviceId, key.moduleId ?? '', field];
}
