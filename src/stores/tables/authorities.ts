import type { AuthorityChange, KeptIntermediate } from '../../core/identity/ports.ts';
import type { Authority } from '../../core/identity/types.ts';
import type { AuthorityRow, Transaction } from './schema.ts';

/** What was done, and what to tell the watchers once the transaction is durable. */
export interface AuthorityOutcome<Kind> {
  readonly outcome: Kind;
  readonly change?: AuthorityChange;
}

export async function listAuthorities(tx: Transaction): Promise<readonly Authority[]> {
  return (await tx.selectFrom('authorities').selectAll().orderBy('name').execute()).map(toAuthority);
}

export async function createAuthority(
  tx: Transaction,
  authority: Authority,
  countMax: number,
): Promise<AuthorityOutcome<'created' | 'exists' | 'full'>> {
  const rows = await tx.selectFrom('authorities').select(['name', 'thumbprint']).execute();
  if (rows.some(({ name, thumbprint }) => name === authority.name || thumbprint === authority.thumbprint)) {
    return { outcome: 'exists' };
  }
  if (rows.length >= countMax) return { outcome: 'full' };
  const inserted = await tx
    .insertInto('authorities')
    .values(toRow(authority))
    .onConflict((conflict) => conflict.doNothing())
    .executeTakeFirst();
  if (Number(inserted.numInsertedOrUpdatedRows) === 0) return { outcome: 'exists' };
  return { outcome: 'created', change: { kind: 'created', authority } };
}

export async function replaceAuthority(
  tx: Transaction,
  authority: Authority,
  ifMatch: string,
): Promise<AuthorityOutcome<'replaced' | 'notFound' | 'etagMismatch'>> {
  const stored = await rowOf(tx, authority.name);
  if (stored === undefined) return { outcome: 'notFound' };
  if (ifMatch !== '*' && ifMatch !== stored.etag) return { outcome: 'etagMismatch' };
  const updated = await tx
    .updateTable('authorities')
    .set(toRow(authority))
    .where('name', '=', stored.name)
    .where('etag', '=', stored.etag)
    .executeTakeFirst();
  if (Number(updated.numUpdatedRows) === 0) return { outcome: 'etagMismatch' };
  return { outcome: 'replaced', change: { kind: 'replaced', authority } };
}

export async function deleteAuthority(
  tx: Transaction,
  name: string,
  ifMatch: string,
): Promise<AuthorityOutcome<'deleted' | 'notFound' | 'etagMismatch'>> {
  const stored = await rowOf(tx, name);
  if (stored === undefined) return { outcome: 'notFound' };
  if (ifMatch !== '*' && ifMatch !== stored.etag) return { outcome: 'etagMismatch' };
  await tx.deleteFrom('authority_intermediates').where('authority', '=', stored.thumbprint).execute();
  await tx.deleteFrom('authorities').where('name', '=', name).execute();
  return { outcome: 'deleted', change: { kind: 'deleted', authority: toAuthority(stored) } };
}

export async function listIntermediates(tx: Transaction): Promise<readonly KeptIntermediate[]> {
  const rows = await tx
    .selectFrom('authority_intermediates')
    .select(['authority', 'thumbprint', 'certificate'])
    .orderBy('position')
    .execute();
  return rows;
}

export async function keepIntermediate(
  tx: Transaction,
  { authority, thumbprint, certificate }: KeptIntermediate,
  countMax: number,
): Promise<void> {
  const owner = await tx
    .selectFrom('authorities')
    .select('name')
    .where('thumbprint', '=', authority)
    .executeTakeFirst();
  if (owner === undefined) return;
  const kept = await tx
    .selectFrom('authority_intermediates')
    .select(['thumbprint', 'position'])
    .orderBy('position')
    .execute();
  if (kept.some((row) => row.thumbprint === thumbprint)) return;
  const leaving = kept.slice(0, Math.max(0, kept.length - countMax + 1)).map((row) => row.thumbprint);
  if (leaving.length > 0) await tx.deleteFrom('authority_intermediates').where('thumbprint', 'in', leaving).execute();
  const position = 1 + Number(kept.at(-1)?.position ?? 0);
  await tx
    .insertInto('authority_intermediates')
    .values({ thumbprint, authority, certificate, position })
    .onConflict((conflict) => conflict.column('thumbprint').doNothing())
    .execute();
}

function rowOf(tx: Transaction, name: string): Promise<AuthorityRow | undefined> {
  return tx.selectFrom('authorities').selectAll().where('name', '=', name).executeTakeFirst();
}

function toRow(authority: Authority): AuthorityRow {
  return {
    name: authority.name,
    etag: authority.etag,
    thumbprint: authority.thumbprint,
    certificate: authority.certificate,
    verified: authority.verified ? 1 : 0,
    verification_code: authority.verificationCode,
    created_time: authority.createdTime,
    updated_time: authority.updatedTime,
  };
}

function toAuthority(row: AuthorityRow): Authority {
  return {
    name: row.name,
    etag: row.etag,
    certificate: row.certificate,
    thumbprint: row.thumbprint,
    verified: row.verified === 1,
    verificationCode: row.verification_code,
    createdTime: Number(row.created_time),
    updatedTime: Number(row.updated_time),
  };
}
