import type { JournalFiles } from './files.ts';
import { ignoreMissing } from './meta.ts';
import { indexPath, type Segment } from './segment.ts';
import {
  encodeIndex,
  parseEntries,
  parseSummary,
  type SegmentSummary,
  type SparseIndex,
  summaryBytes,
} from './sparse-index.ts';

/** Writes the index of a finished segment, in the place of a damaged one if there is one. Durable when it resolves. */
export async function writeIndex(files: JournalFiles, folder: string, segment: Segment): Promise<void> {
  const { index } = segment;
  if (index === undefined) return;
  const name = indexPath(folder, segment.position);
  await files.unlink(name).catch(ignoreMissing);
  const file = await files.create(name);
  try {
    await file.write([encodeIndex(segment, index)], 0);
    await file.sync();
  } finally {
    await file.close();
  }
  await files.syncFolder(folder);
}

/** The summary of a segment, or undefined when its index is missing or not sound as a whole. */
export async function readSummary(
  files: JournalFiles,
  folder: string,
  position: number,
  partitionCount: number,
): Promise<SegmentSummary | undefined> {
  const file = await files.open(indexPath(folder, position)).catch(ignoreMissing);
  if (file === undefined) return undefined;
  try {
    const bytes = Buffer.alloc(summaryBytes(partitionCount));
    return parseSummary(bytes.subarray(0, await file.read(bytes, 0)), position, partitionCount);
  } finally {
    await file.close();
  }
}

/** The whole index of a finished segment, or undefined when it is missing or not what was written. */
export async function readIndex(
  files: JournalFiles,
  folder: string,
  position: number,
  partitionCount: number,
): Promise<{ readonly summary: SegmentSummary; readonly entries: SparseIndex } | undefined> {
  const file = await files.open(indexPath(folder, position)).catch(ignoreMissing);
  if (file === undefined) return undefined;
  try {
    const bytes = Buffer.alloc(await file.size());
    const got = bytes.subarray(0, await file.read(bytes, 0));
    const summary = parseSummary(got, position, partitionCount);
    const entries = summary === undefined ? undefined : parseEntries(got, partitionCount);
    return summary === undefined || entries === undefined ? undefined : { summary, entries };
  } finally {
    await file.close();
  }
}
