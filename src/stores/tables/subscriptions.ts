import type { IdentityKey } from '../../core/identity/types.ts';
import type { Subscription } from '../../core/presence/ports.ts';
import type { Transaction } from './schema.ts';

export async function loadSubscriptions(
  tx: Transaction,
  key: IdentityKey,
  generationId: string,
): Promise<readonly Subscription[] | undefined> {
  const row = await tx
    .selectFrom('subscriptions')
    .select('filters')
    .where('device_id', '=', key.deviceId)
    .where('module_id', '=', key.moduleId ?? '')
    .where('generation_id', '=', generationId)
    .executeTakeFirst();
  return row && (JSON.parse(row.filters) as readonly Subscription[]);
}

/** @param now UTC milliseconds: when the session was last used, for a later removal of idle ones. */
export async function saveSubscriptions(
  tx: Transaction,
  key: IdentityKey,
  generationId: string,
  subscriptions: readonly Subscription[],
  now: number,
): Promise<void> {
  const session = { generation_id: generationId, filters: JSON.stringify(subscriptions), saved_time: now };
  await tx
    .insertInto('subscriptions')
    .values({ device_id: key.deviceId, module_id: key.moduleId ?? '', ...session })
    .onConflict((conflict) => conflict.columns(['device_id', 'module_id']).doUpdateSet(session))
    .execute();
}

export async function removeSubscriptions(tx: Transaction, key: IdentityKey): Promise<void> {
  await tx
    .deleteFrom('subscriptions')
    .where('device_id', '=', key.deviceId)
    .where('module_id', '=', key.moduleId ?? '')
    .execute();
}
