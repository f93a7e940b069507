/** Changes of many devices of a hub with a data folder. */
import type { DataFolder } from '../data/data-folder.ts';
import type { Shutdown } from '../lifecycle.ts';
import { type BulkChanges, type BulkChangesParts, createBulkChanges } from './bulk-changes.ts';
import { keptChanges } from './kept-changes.ts';

export interface OpenBulkChangesParts extends Omit<BulkChangesParts, 'kept'> {
  readonly folder: DataFolder;
  readonly shutdown: Shutdown;
}

export function openBulkChanges({ folder, shutdown, ...parts }: OpenBulkChangesParts): BulkChanges {
  const kept = keptChanges(folder.file('bulk-changes'), (error) =>
    parts.log.warn({ error }, 'changes of many devices cannot be kept: they are forgotten at a stop of the hub'),
  );
  const changes = createBulkChanges({ ...parts, kept });
  shutdown.add('changes of many devices', () => changes.close());
  return changes;
}
