/** A reader that keeps its place in files, by @azure/event-hubs and the CheckpointStore of `examples/`. */
import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { Checkpoint } from '../../examples/checkpoint-store/file-checkpoint-store.ts';
import type { TestHub } from '../../test/drivers/hub.ts';
import { Client } from './client.ts';

const IDLE_MS = 4000;

export interface EventPlace {
  readonly partition: string;
  readonly sequenceNumber: number;
}

/**
 * Reads until the checkpoints of `count` events are kept, and ends the reader in the middle of its work.
 * @param directory of the store
 * @returns the events that it was given up to the checkpoints in the store: one that it was ended behind is in the files, though
 *   its program never heard so. For a `count` of 0 those that it is given within four seconds.
 */
export async function readToCheckpoints(
  hub: TestHub,
  directory: string,
  count: number,
  consumerGroup?: string,
): Promise<readonly EventPlace[]> {
  const reader = Client.start('events-checkpoint.mjs', hub.endpoints.caFile, {
    ...{ connectionString: hub.endpoints.connectionStrings.eventHubs, directory, consumerGroup },
  });
  try {
    await reader.next('ready');
    for (let kept = 0; kept < count; kept++) await reader.next('kept', 60_000);
    if (count === 0) await reader.quiet('given', IDLE_MS);
    await reader.stop();
    const given = reader.seen('given') as unknown as readonly EventPlace[];
    if (count === 0) return given;
    const ends = checkpointsIn(directory);
    return given.filter(({ partition, sequenceNumber }) => sequenceNumber <= (ends.get(partition) ?? -1));
  } finally {
    await reader.stop();
  }
}

/** The last sequence number of each partition. */
function checkpointsIn(directory: string): ReadonlyMap<string, number> {
  const files = globSync('**/checkpoint-*', { cwd: directory });
  const all = files.map((file) => JSON.parse(readFileSync(path.join(directory, file), 'utf8')) as Checkpoint);
  return new Map(all.map(({ partitionId, sequenceNumber }) => [partitionId, sequenceNumber]));
}
