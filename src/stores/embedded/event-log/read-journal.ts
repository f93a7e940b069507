/** The events of a journal that is not open, one batch behind the other, for what copies them elsewhere. Changes nothing. */
import { EventLogCorruption } from '../../event-log/errors.ts';
import {
  type ParsedBatch,
  type PartitionState,
  parseBatch,
  parseSegmentHeader,
  segmentHeaderBytes,
} from '../../event-log/format.ts';
import { type JournalFiles, systemFiles } from './files.ts';
import { readMeta } from './meta.ts';
import { findSound, Window } from './scan.ts';
import { journalName, journalPath, positionsOf } from './segment.ts';

export interface ReadJournal {
  /** As the oldest segment has it: the first numbers that are kept, or the next ones. */
  readonly begin: PartitionState;
  /** Bytes of all segments. */
  readonly bytes: number;
  /** In the order of writing; a torn end is left out. @throws EventLogCorruption */
  batches(): AsyncIterable<ParsedBatch>;
}

/**
 * @returns undefined where nothing was written yet
 * @throws EventLogCorruption something is damaged that is not the torn end of a crash
 */
export async function readJournal(
  folder: string,
  partitionCount: number,
  files: JournalFiles = systemFiles,
): Promise<ReadJournal | undefined> {
  const meta = await readMeta(files, folder);
  const positions = positionsOf(await files.list(folder), 'journal');
  if (positions.length === 0) return undefined;
  if (meta?.partitionCount !== partitionCount) {
    throw new EventLogCorruption(folder, 0, 'its log.meta is missing, damaged, or of another number of partitions');
  }
  const sizes: number[] = [];
  for (const position of positions) sizes.push(await sizeOf(files, journalPath(folder, position)));
  const header = await headerOf(files, folder, positions[0], partitionCount);
  // A file whose header a crash has cut off holds nothing that was acknowledged.
  if (header === undefined && positions.length === 1) return undefined;
  if (header === undefined) throw new EventLogCorruption(journalName(positions[0]), 0, 'its head is damaged');
  return {
    begin: header,
    bytes: sizes.reduce((sum, size) => sum + size, 0),
    async *batches() {
      for (const [at, position] of positions.entries()) {
        const next = positions.at(at + 1);
        const length = next === undefined ? sizes[at] : next - position;
        if (sizes[at] < length) throw new EventLogCorruption(journalName(position), sizes[at], 'the file is cut off');
        yield* segmentBatches(files, folder, { position, length, partitionCount, isLast: next === undefined });
      }
    },
  };
}

interface SegmentPlace {
  readonly position: number;
  readonly length: number;
  readonly partitionCount: number;
  readonly isLast: boolean;
}

async function* segmentBatches(
  files: JournalFiles,
  folder: string,
  { position, length, partitionCount, isLast }: SegmentPlace,
): AsyncGenerator<ParsedBatch> {
  const header = await headerOf(files, folder, position, partitionCount);
  if (header === undefined && isLast) return;
  if (header === undefined) throw new EventLogCorruption(journalName(position), 0, 'its head is damaged');
  const file = await files.open(journalPath(folder, position));
  try {
    const window = new Window(file, length);
    for (let place = segmentHeaderBytes(partitionCount); place < length; ) {
      const bytes = await window.at(place, header.salt, position + place);
      const batch = parseBatch(bytes, 0, header.salt, position + place, partitionCount);
      if (batch === undefined) {
        const soundAt = await findSound(window, place + 1, header.salt, position, partitionCount);
        if (isLast && soundAt === undefined) return;
        throw new EventLogCorruption(journalName(position), place, 'a batch is damaged');
      }
      yield batch;
      place += batch.length;
    }
  } finally {
    await file.close();
  }
}

async function headerOf(files: JournalFiles, folder: string, position: number, partitionCount: number) {
  const file = await files.open(journalPath(folder, position));
  try {
    const bytes = Buffer.alloc(segmentHeaderBytes(partitionCount));
    const got = await file.read(bytes, 0);
    return parseSegmentHeader(bytes.subarray(0, got), position, partitionCount);
  } finally {
    await file.close();
  }
}

async function sizeOf(files: JournalFiles, path: string): Promise<number> {
  const file = await files.open(path);
  try {
    return await file.size();
  } finally {
    await file.close();
  }
}
