/** A small log of a few segments on a disk in memory, for tests that damage it. */
import assert from 'node:assert/strict';
import { VirtualClock } from '../../base/clock.ts';
import { seededRandom } from '../../base/random.ts';
import { type EmbeddedEventLog, openEmbeddedEventLog } from '../embedded/event-log/event-log.ts';
import { append } from './event-log.ts';
import { VirtualDisk } from './event-log-disk.ts';

export const folder = '/log';
export const PARTITIONS = 2;

export const open = (disk: VirtualDisk, seed = 1): Promise<EmbeddedEventLog> =>
  openEmbeddedEventLog({
    folder,
    name: 'hub',
    partitionCount: PARTITIONS,
    retentionMs: 3_600_000,
    segmentBytes: 500,
    clock: new VirtualClock(),
    random: seededRandom(seed),
    files: disk,
  });

export interface Sample {
  readonly disk: VirtualDisk;
  readonly texts: readonly string[][];
  /** The last segment, and where its last batch begins. */
  readonly last: string;
  readonly lastBatchAt: number;
}

/**
 * At least three segments of a few batches, each batch with events of one partition; the last segment has no index unless
 * the log was closed.
 */
export async function sample(isClosed: boolean): Promise<Sample> {
  const disk = new VirtualDisk();
  const log = await open(disk);
  const texts: string[][] = [[], []];
  let lastBatchAt = 0;
  for (let batch = 0; batch < 9; batch++) {
    const partition = batch % PARTITIONS;
    const added = [`batch ${batch}`, 'x'.repeat(40 + batch)];
    const before = journals(disk).map((file) => [file, disk.bytes(file).length] as const);
    await append(log, partition, added);
    texts[partition].push(...added);
    lastBatchAt = before.find(([file]) => file === journals(disk).at(-1))?.[1] ?? 0;
  }
  if (isClosed) await log.close();
  else await log.retain();
  const files = journals(disk);
  assert.ok(files.length >= 3 && lastBatchAt > 0, files.join(' '));
  return { disk: disk.copy(), texts, last: files[files.length - 1], lastBatchAt };
}

/** Paths of the segments, in order. */
export const journals = (disk: VirtualDisk): readonly string[] =>
  disk.files().filter((file) => file.endsWith('.journal'));
