import type { ConsumerGroup } from '../../core/events/ports.ts';
import type { Transaction } from './schema.ts';

export async function listConsumerGroups(tx: Transaction, eventHub: string): Promise<readonly ConsumerGroup[]> {
  const rows = await tx
    .selectFrom('consumer_groups')
    .select(['name', 'created_time'])
    .where('event_hub', '=', eventHub)
    .orderBy('name_key')
    .execute();
  return rows.map((row) => ({ name: row.name, createdTime: Number(row.created_time) }));
}

export async function createConsumerGroup(
  tx: Transaction,
  eventHub: string,
  group: ConsumerGroup,
  countMax: number,
): Promise<'created' | 'exists' | 'full'> {
  const nameKey = group.name.toLowerCase();
  const rows = await tx.selectFrom('consumer_groups').select('name_key').where('event_hub', '=', eventHub).execute();
  if (rows.some((row) => row.name_key === nameKey)) return 'exists';
  if (rows.length >= countMax) return 'full';
  const inserted = await tx
    .insertInto('consumer_groups')
    .values({ event_hub: eventHub, name_key: nameKey, name: group.name, created_time: group.createdTime })
    .onConflict((conflict) => conflict.columns(['event_hub', 'name_key']).doNothing())
    .executeTakeFirst();
  return Number(inserted.numInsertedOrUpdatedRows) === 0 ? 'exists' : 'created';
}

export async function deleteConsumerGroup(
  tx: Transaction,
  eventHub: string,
  name: string,
): Promise<'deleted' | 'notFound'> {
  const deleted = await tx
    .deleteFrom('consumer_groups')
    .where('event_hub', '=', eventHub)
    .where('name_key', '=', name.toLowerCase())
    .executeTakeFirst();
  return Number(deleted.numDeletedRows) === 0 ? 'notFound' : 'deleted';
}
