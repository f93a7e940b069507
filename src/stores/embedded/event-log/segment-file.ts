import { encodeSegmentHeader, type SegmentHeader } from '../../event-log/format.ts';
import type { JournalFile, JournalFiles } from './files.ts';
import { ignoreMissing } from './meta.ts';
import { indexPath, journalPath } from './segment.ts';

/** Makes a segment's file with its header. Name and header are durable when it resolves. */
export async function createSegmentFile(
  files: JournalFiles,
  folder: string,
  header: SegmentHeader,
): Promise<JournalFile> {
  const file = await files.create(journalPath(folder, header.position));
  try {
    await file.write([encodeSegmentHeader(header)], 0);
    await file.sync();
    await files.syncFolder(folder);
    return file;
  } catch (error) {
    await file.close().catch(() => {});
    throw error;
  }
}

/**
 * Removes a segment and its index, durably; files that are gone already are fine.
 * @param isGone called when the segment's own file has gone: what fails from there on leaves an index without a segment, which the next
 *   start removes
 */
export async function removeSegmentFiles(
  files: JournalFiles,
  folder: string,
  position: number,
  isGone: () => void = () => {},
): Promise<void> {
  // Whatever went before is durably gone before this one goes: the journal never has a hole.
  await files.syncFolder(folder);
  await files.unlink(journalPath(folder, position)).catch(ignoreMissing);
  isGone();
  await files.unlink(indexPath(folder, position)).catch(ignoreMissing);
  await files.syncFolder(folder);
}
