/** Where a damaged segment begins: what its header, its index, its batches or the next segment tell of sequence numbers. */
import {
  type PartitionState,
  parseSegmentHeader,
  type SegmentHeader,
  segmentHeaderBytes,
} from '../../event-log/format.ts';
import type { JournalFile, JournalFiles } from './files.ts';
import { readSummary } from './index-file.ts';
import { ignoreMissing } from './meta.ts';
import { findSalt, firstSequences } from './salvage.ts';
import { Window } from './scan.ts';
import { journalPath } from './segment.ts';

interface Journal {
  readonly folder: string;
  readonly files: JournalFiles;
  readonly partitionCount: number;
}

/** Least bytes of one event in a journal: its length and one byte. */
export const EVENT_BYTES_MIN = 5;

export async function readHeader(
  journal: Journal,
  file: JournalFile,
  position: number,
): Promise<SegmentHeader | undefined> {
  const bytes = Buffer.alloc(segmentHeaderBytes(journal.partitionCount));
  return parseSegmentHeader(bytes.subarray(0, await file.read(bytes, 0)), position, journal.partitionCount);
}

/** The next sequence numbers before the segment at `position`, as far as anything in it tells. */
export async function beginOf(
  journal: Journal,
  position: number,
): Promise<readonly (number | undefined)[] | undefined> {
  const { folder, files, partitionCount } = journal;
  const summary = await readSummary(files, folder, position, partitionCount);
  const file = await files.open(journalPath(folder, position)).catch(ignoreMissing);
  if (file === undefined) return summary?.begin.nextSequences;
  try {
    const known = (await readHeader(journal, file, position))?.nextSequences ?? summary?.begin.nextSequences;
    if (known !== undefined) return known;
    const window = new Window(file, await file.size());
    const headerBytes = segmentHeaderBytes(partitionCount);
    const salt = await findSalt(window, headerBytes, position, partitionCount);
    return salt === undefined ? undefined : firstSequences(window, headerBytes, salt, position, partitionCount);
  } finally {
    await file.close();
  }
}

/** Where the oldest segment begins if neither its header nor its index says so: where its batches do. */
export async function guessBegin(
  journal: Journal,
  window: Window,
  salt: Buffer,
  position: number,
  nextBegin: readonly (number | undefined)[] | undefined,
): Promise<PartitionState> {
  const { partitionCount } = journal;
  const first = await firstSequences(window, segmentHeaderBytes(partitionCount), salt, position, partitionCount);
  // Of what was before it only the journal's length is known: no number in it can have been higher than this.
  const bound = Math.floor(position / EVENT_BYTES_MIN);
  const nextSequences = first.map((sequence, partition) => sequence ?? nextBegin?.[partition] ?? bound);
  return { nextSequences, lastTimes: new Array<number>(partitionCount).fill(0) };
}
