import { sealContext } from './identities.ts';
import type { KeyCipher } from './key-cipher.ts';
import { loadPolicies, savePolicies } from './policies.ts';
import { resealRegistryJobs } from './registry-jobs.ts';
import { resealRoutes } from './routes.ts';
import type { Transaction } from './schema.ts';
import { resealSecrets } from './secrets.ts';

/** Rows that are in memory at a time. */
const PAGE_ROWS = 1000;

/**
 * Re-encrypts every secret of the tables with the first key of the ring. Runs inside one transaction of the caller's, so
 * that a crash leaves all of them under the old key or all under the new.
 * @throws Error when a secret cannot be opened with any key of the ring; nothing is changed then.
 */
export async function resealAll(tx: Transaction, cipher: KeyCipher): Promise<void> {
  await savePolicies(tx, cipher, await loadPolicies(tx, cipher));
  await resealSecrets(tx, cipher);
  await resealRegistryJobs(tx, cipher);
  await resealRoutes(tx, cipher);
  let after = { device_id: '', module_id: '' };
  for (;;) {
    const rows = await tx
      .selectFrom('identities')
      .select(['device_id', 'module_id', 'primary_key', 'secondary_key'])
      .where((where) =>
        where.or([
          where('device_id', '>', after.device_id),
          where.and([where('device_id', '=', after.device_id), where('module_id', '>', after.module_id)]),
        ]),
      )
      .orderBy('device_id')
      .orderBy('module_id')
      .limit(PAGE_ROWS)
      .execute();
    for (const row of rows) {
      const key =
        row.module_id === '' ? { deviceId: row.device_id } : { deviceId: row.device_id, moduleId: row.module_id };
      const resealed = (field: 'primary_key' | 'secondary_key'): string | null => {
        const sealed = row[field];
        const context = sealContext(key, field);
        return sealed === null ? null : cipher.seal(cipher.open(sealed, context), context);
      };
      if (row.primary_key === null && row.secondary_key === null) continue;
      await tx
        .updateTable('identities')
        .set({ primary_key: resealed('primary_key'), secondary_key: resealed('secondary_key') })
        .where('device_id', '=', row.device_id)
        .where('module_id', '=', row.module_id)
        .execute();
    }
    const last = rows.at(-1);
    if (last === undefined || rows.length < PAGE_ROWS) return;
    after = last;
  }
}
