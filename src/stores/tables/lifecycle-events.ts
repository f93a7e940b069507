import type { IdentityChange } from '../../core/identity/ports.ts';
import type { IdentityKey } from '../../core/identity/types.ts';
import { lifecycleEvent } from '../../core/twins/changes.ts';
import { freshTwin } from '../../core/twins/rules.ts';
import type { Twin } from '../../core/twins/types.ts';
import type { Transaction } from './schema.ts';
import { keepTwinEvents } from './twin-events.ts';
import { twinOf } from './twin-text.ts';

/** Twins by module id ('' = the device's own): of a device with its modules, or of one module. */
export async function twinsOf(
  tx: Transaction,
  { deviceId, moduleId }: IdentityKey,
): Promise<ReadonlyMap<string, Twin>> {
  let query = tx
    .selectFrom('twins as twin')
    .leftJoin('twin_documents as text', (join) =>
      join.onRef('text.device_id', '=', 'twin.device_id').onRef('text.module_id', '=', 'twin.module_id'),
    )
    .select(['twin.module_id as module', 'text.document', 'twin.tail'])
    .where('twin.device_id', '=', deviceId);
  if (moduleId !== undefined) query = query.where('twin.module_id', '=', moduleId);
  const rows = await query.execute();
  return new Map(rows.map(({ module, document, tail }) => [module, twinOf({ document, tail })]));
}

/** Keeps an event of each identity that was created or deleted. @param last The twins before, by module id */
export async function keepLifecycle(
  tx: Transaction,
  changes: readonly IdentityChange[],
  last: ReadonlyMap<string, Twin>,
  time: number,
): Promise<void> {
  const events = changes.flatMap(({ kind, identity: { deviceId, moduleId, generationId } }) => {
    if (kind === 'replaced') return [];
    const key = moduleId === undefined ? { deviceId } : { deviceId, moduleId };
    const twin = kind === 'created' ? freshTwin() : (last.get(moduleId ?? '') ?? freshTwin());
    return [lifecycleEvent(kind, { key, generationId, time }, twin)];
  });
  if (events.length > 0) await keepTwinEvents(tx, events);
}
