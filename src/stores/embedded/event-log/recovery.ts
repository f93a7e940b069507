import path from 'node:path';
import type { Log } from '../../../base/log.ts';
import { EventLogCorruption, reasonOf } from '../../event-log/errors.ts';
import { segmentHeaderBytes } from '../../event-log/format.ts';
import type { JournalFile, JournalFiles } from './files.ts';
import { readSummary, writeIndex } from './index-file.ts';
import { ignoreMissing } from './meta.ts';
import { PROBE_NAME } from './probe.ts';
import { type ScanResult, scanSegment } from './scan.ts';
import { follows, hasBatches, indexPath, journalPath, positionsOf, type Segment, segmentOf } from './segment.ts';

/** What the start found, for the log and the operator. */
export interface RecoveryReport {
  readonly segments: number;
  readonly bytes: number;
  /** Segments without a sound index, which were read from end to end. */
  readonly scanned: number;
  /** The torn batch at the end that was cut. Nothing in it had been acknowledged. */
  readonly cut: { readonly file: string; readonly place: number; readonly bytes: number } | undefined;
  /** Files that held nothing yet, or belonged to segments that retention had removed. */
  readonly removed: readonly string[];
}

export interface RecoveryOptions {
  readonly files: JournalFiles;
  readonly folder: string;
  readonly partitionCount: number;
  readonly log: Log;
  /** Position of a segment that is known to hold events; see `LedgerEntry`. */
  readonly newest?: number;
}

/**
 * Brings the folder into a state that the log can go on from: see `docs/data-files.md`, "Start".
 * @throws EventLogCorruption when the journal has a hole, or damage that is not a torn end.
 */
export async function recover(
  options: RecoveryOptions,
): Promise<{ readonly segments: Segment[]; readonly report: RecoveryReport }> {
  const { files, folder, log } = options;
  const names = await files.list(folder);
  /** Taken away at the end, so that a refusal leaves everything as it was. */
  const removed: string[] = [];
  if (names.includes(PROBE_NAME)) removed.push(path.join(folder, PROBE_NAME));

  const positions = positionsOf(names, 'journal');
  const indexed = new Set(positionsOf(names, 'index'));
  for (const position of indexed) {
    if (positions.includes(position)) continue;
    await refuseMissingEnd(options, position, positions.at(-1));
    removed.push(indexPath(folder, position));
  }

  const segments: Segment[] = [];
  let scanned = 0;
  let cut: RecoveryReport['cut'];
  for (let at = 0; at < positions.length; at++) {
    const position = positions[at];
    const isLast = at === positions.length - 1;
    const mustHold = position === options.newest;
    const expectedLength = isLast ? undefined : positions[at + 1] - position;
    const opened = await openSegment(options, position, expectedLength, indexed.has(position));
    if (mustHold && (opened === undefined || !hasBatches(opened.segment))) {
      throw new EventLogCorruption(journalPath(folder, position), 0, 'the segment is empty, but it has held events');
    }
    if (opened === undefined) {
      // A segment whose making was cut short. Its predecessor is still there, or there was never anything.
      if (position > 0 && segments.length === 0) throw damagedHeader(folder, position);
      removed.push(journalPath(folder, position), indexPath(folder, position));
      continue;
    }
    if (opened.scanned) scanned++;
    cut = opened.cut ?? cut;
    const before = segments.at(-1);
    if (before !== undefined && !follows(before, opened.segment)) {
      throw new EventLogCorruption(journalPath(folder, position), 0, 'the segment does not follow the one before it');
    }
    if (isLast && before !== undefined && !hasBatches(opened.segment)) {
      removed.push(journalPath(folder, position), indexPath(folder, position));
      continue;
    }
    segments.push(opened.segment);
  }
  for (const file of removed) await files.unlink(file).catch(ignoreMissing);
  await files.syncFolder(folder);
  const bytes = segments.reduce((sum, segment) => sum + segment.length, 0);
  const report = { segments: segments.length, bytes, scanned, cut, removed };
  if (cut !== undefined) log.warn({ ...cut }, 'the event log ended in a torn batch, which was cut');
  return { segments, report };
}

/**
 * Retention removes a segment before its index, and what is newer stays. So a sound index behind the last segment is that
 * of one which is missing; without it the numbers of its events would be given again.
 */
async function refuseMissingEnd(options: RecoveryOptions, position: number, last: number | undefined): Promise<void> {
  const { files, folder, partitionCount } = options;
  if (last !== undefined && position < last) return;
  const summary = await readSummary(files, folder, position, partitionCount);
  // A segment without events may go at the end as well, when the disk works again or at a start.
  if (summary === undefined || summary.lastTime === 0) return;
  throw new EventLogCorruption(journalPath(folder, position), 0, 'the segment is missing, but its index is there');
}

interface OpenedSegment {
  readonly segment: Segment;
  readonly scanned: boolean;
  readonly cut: RecoveryReport['cut'];
}

/** Undefined when the segment's making was cut short and it never held a batch. */
async function openSegment(
  options: RecoveryOptions,
  position: number,
  expectedLength: number | undefined,
  isIndexed: boolean,
): Promise<OpenedSegment | undefined> {
  const { files, folder, partitionCount } = options;
  const name = journalPath(folder, position);
  const file = await files.open(name);
  try {
    const size = await file.size();
    const summary = isIndexed ? await readSummary(files, folder, position, partitionCount) : undefined;
    if (summary !== undefined) {
      checkLength(name, size, summary.length, expectedLength);
      return { segment: segmentOf(summary), scanned: false, cut: undefined };
    }
    if (expectedLength !== undefined) checkLength(name, size, expectedLength, expectedLength);
    const length = expectedLength ?? size;
    const result = await scanSegment(file, { path: name, position, partitionCount, length });
    if (result === undefined) {
      if (expectedLength === undefined && size <= segmentHeaderBytes(partitionCount)) return undefined;
      throw damagedHeader(folder, position);
    }
    const cut = tornEnd(name, size, result, expectedLength !== undefined);
    if (expectedLength === undefined) {
      if (cut !== undefined) await file.truncate(cut.place);
      await writeEndAgain(file, result);
    }
    await saveIndex(options, result.segment);
    return { segment: result.segment, scanned: true, cut };
  } finally {
    await file.close();
  }
}

/** Without an index the next start reads the segment again, and no more than that. */
async function saveIndex(options: RecoveryOptions, segment: Segment): Promise<void> {
  try {
    await writeIndex(options.files, options.folder, segment);
  } catch (error) {
    options.log.warn({ segment: segment.position, error: reasonOf(error) }, 'the index could not be written');
  }
}

function tornEnd(name: string, size: number, result: ScanResult, isFollowed: boolean): RecoveryReport['cut'] {
  const { faultAt, soundAt } = result;
  if (faultAt === undefined) return undefined;
  if (soundAt !== undefined) {
    throw new EventLogCorruption(name, faultAt, `a damaged batch with a sound one behind it, at byte ${soundAt}`);
  }
  if (isFollowed) throw new EventLogCorruption(name, faultAt, 'a damaged batch before the end of the segment');
  return { file: name, place: faultAt, bytes: size - faultAt };
}

/**
 * What can be read need not be on the disk: the last batch (or the header, if there is none) may have been written without
 * a sync, or its sync may have failed and left pages in memory that no sync writes any more. So it is written again.
 */
async function writeEndAgain(file: JournalFile, { segment, lastAt }: ScanResult): Promise<void> {
  const bytes = Buffer.alloc(segment.length - lastAt);
  await file.read(bytes, lastAt);
  await file.write([bytes], lastAt);
  await file.sync();
}

function checkLength(name: string, size: number, length: number, expectedLength: number | undefined): void {
  if (expectedLength !== undefined && length !== expectedLength) {
    throw new EventLogCorruption(
      name,
      Math.min(length, expectedLength),
      'the next segment is missing or a foreign one',
    );
  }
  if (size < length) throw new EventLogCorruption(name, size, `the file ends here, but ${length} bytes were written`);
}

function damagedHeader(folder: string, position: number): EventLogCorruption {
  return new EventLogCorruption(journalPath(folder, position), 0, "the segment's header is damaged");
}
