import type { Permission, Policy } from '../../core/identity/types.ts';
import type { KeyCipher } from './key-cipher.ts';
import type { Transaction } from './schema.ts';

export async function loadPolicies(tx: Transaction, cipher: KeyCipher): Promise<readonly Policy[]> {
  const rows = await tx.selectFrom('policies').selectAll().orderBy('position').execute();
  return rows.map((row) => ({
    name: row.name,
    primaryKey: cipher.open(row.primary_key, ['policies', row.name, 'primary_key']),
    secondaryKey: cipher.open(row.secondary_key, ['policies', row.name, 'secondary_key']),
    permissions: JSON.parse(row.permissions) as readonly Permission[],
  }));
}

export async function savePolicies(tx: Transaction, cipher: KeyCipher, policies: readonly Policy[]): Promise<void> {
  await tx.deleteFrom('policies').execute();
  for (const [position, policy] of policies.entries()) {
    await tx
      .insertInto('policies')
      .values({
        name: policy.name,
        position,
        primary_key: cipher.seal(policy.primaryKey, ['policies', policy.name, 'primary_key']),
        secondary_key: cipher.seal(policy.secondaryKey, ['policies', policy.name, 'secondary_key']),
        permissions: JSON.stringify(policy.permissions),
      })
      .execute();
  }
}
