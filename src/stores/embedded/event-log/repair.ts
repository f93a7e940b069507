/**
 * `mooring data repair` for one event log: brings it into a state that opens, keeps every event that can still be read,
 * and leaves an honest gap where events are lost.
 *
 * Batches carry their own place, so nothing is moved: a stretch that cannot be read is overwritten, in its place, by
 * batches that name the lost events (`docs/data-files.md`, "Gaps"). Whatever a file held before is set aside first. A
 * repair that is cut short can be run again.
 */
import path from 'node:path';
import { assert } from '../../../base/assert.ts';
import type { Random } from '../../../base/random.ts';
import { EventLogCorruption } from '../../event-log/errors.ts';
import {
  encodeSegmentHeader,
  type PartitionState,
  SALT_BYTES,
  type SegmentHeader,
  segmentHeaderBytes,
} from '../../event-log/format.ts';
import { type JournalFile, type JournalFiles, systemFiles } from './files.ts';
import { describeLost, gapBytes, type LostEvents, writeGap } from './gaps.ts';
import { readIndex, readSummary, writeIndex } from './index-file.ts';
import { ignoreMissing, META_NAME, readMeta, writeMeta } from './meta.ts';
import { beginOf, EVENT_BYTES_MIN, guessBegin, readHeader } from './repair-begin.ts';
import { findSalt, lostBetween, salvageSegment } from './salvage.ts';
import { scanSegment, Window } from './scan.ts';
import { follows, indexName, indexPath, journalName, journalPath, positionsOf, type Segment } from './segment.ts';
import { createSegmentFile } from './segment-file.ts';
import { encodeIndex, type SegmentSummary } from './sparse-index.ts';

export interface EventLogRepairOptions {
  readonly folder: string;
  /** For a `log.meta` that cannot be read. UTC milliseconds. */
  readonly partitionCount: number;
  readonly createdTime: number;
  readonly random: Random;
  readonly files?: JournalFiles;
  /** Keeps a copy of a file of the folder, durably, before it is changed or removed. */
  setAside(name: string): Promise<void>;
}

export interface EventLogRepair {
  /** What was done, a sentence each, in order; empty = nothing was wrong. */
  readonly actions: readonly string[];
  /** Events that cannot be read any more. Their sequence numbers are not given again. */
  readonly lost: readonly LostEvents[];
}

/** @throws Error when the log has a newer format, or a file cannot be read or written at all. */
export async function repairEventLog(options: EventLogRepairOptions): Promise<EventLogRepair> {
  const { folder, files = systemFiles, random, setAside } = options;
  const names = await files.list(folder);
  const actions: string[] = [];
  const meta = await readMeta(files, folder);
  if (meta === undefined) {
    if (names.includes(META_NAME)) await setAside(META_NAME);
    await files.unlink(path.join(folder, META_NAME)).catch(ignoreMissing);
    await writeMeta(files, folder, { partitionCount: options.partitionCount, createdTime: options.createdTime });
    actions.push(`${META_NAME} was made again`);
  }
  const partitionCount = meta?.partitionCount ?? options.partitionCount;
  const work: Work = { folder, files, random, setAside, partitionCount, actions, lost: [] };

  const positions = positionsOf(names, 'journal');
  const orphans = positionsOf(names, 'index').filter((position) => !positions.includes(position));
  let before: Segment | undefined;
  for (let at = 0; at < positions.length; at++) {
    const next = positions[at + 1] ?? orphans.find((position) => position > positions[at]);
    before = (await mendSegment(work, positions[at], next, before)) ?? before;
  }
  for (const position of orphans) {
    const summary = await readSummary(files, folder, position, partitionCount);
    const isMissingEnd = summary !== undefined && summary.lastTime !== 0 && position > (positions.at(-1) ?? -1);
    await setAside(indexName(position));
    await files.unlink(indexPath(folder, position));
    if (isMissingEnd) before = await replaceMissing(work, summary, before);
    else actions.push(`${indexName(position)}, the index of no segment, was removed`);
  }
  await files.syncFolder(folder);
  return { actions, lost: work.lost };
}

interface Work {
  readonly folder: string;
  readonly files: JournalFiles;
  readonly random: Random;
  readonly partitionCount: number;
  readonly setAside: (name: string) => Promise<void>;
  readonly actions: string[];
  readonly lost: LostEvents[];
}

/**
 * @param next place of the following segment, or of one whose index alone is left; undefined = there is none
 * @returns undefined for a segment whose making was cut short: it never held anything
 */
async function mendSegment(
  work: Work,
  position: number,
  next: number | undefined,
  before: Segment | undefined,
): Promise<Segment | undefined> {
  const { folder, files, partitionCount } = work;
  const summary = await readSummary(files, folder, position, partitionCount);
  const headerBytes = segmentHeaderBytes(partitionCount);
  const file = await files.open(journalPath(folder, position));
  try {
    const size = await file.size();
    const known = next === undefined ? summary?.length : next - position;
    const header = await readHeader(work, file, position);
    const mayBeUnmade = known === undefined && size <= headerBytes && (before !== undefined || position === 0);
    if (mayBeUnmade && header === undefined) {
      await work.setAside(journalName(position));
      await files.unlink(journalPath(folder, position));
      work.actions.push(`${journalName(position)}, a segment whose making was cut short, was removed`);
      return undefined;
    }
    const sound = await scanStrictly(work, file, position, Math.min(size, known ?? size));
    if (sound?.length === (known ?? size) && (before === undefined || follows(before, sound))) {
      await mendIndex(work, sound);
      return sound;
    }
    return await mendDamage(work, file, { position, next, size, known, header, summary, before });
  } finally {
    await file.close();
  }
}

interface Damaged {
  readonly position: number;
  readonly next: number | undefined;
  readonly size: number;
  readonly known: number | undefined;
  readonly header: SegmentHeader | undefined;
  readonly summary: SegmentSummary | undefined;
  readonly before: Segment | undefined;
}

async function mendDamage(work: Work, file: JournalFile, damaged: Damaged): Promise<Segment> {
  const { folder, files, random, partitionCount, actions } = work;
  const { position, next, size, known, header, summary, before } = damaged;
  const name = journalName(position);
  const headerBytes = segmentHeaderBytes(partitionCount);
  const window = new Window(file, size);
  const found = header?.salt ?? summary?.salt ?? (await findSalt(window, headerBytes, position, partitionCount));
  const salt = found ?? random.bytes(SALT_BYTES);
  const nextBegin = next === undefined ? undefined : await beginOf(work, next);
  const begin = before?.end ?? header ?? summary?.begin ?? (await guessBegin(work, window, salt, position, nextBegin));
  // Without a salt nothing in the file can be told from anything else.
  const isHopeless = found === undefined && known === undefined;
  const length = isHopeless ? headerBytes + gapBytes(0) : (known ?? size);
  const { damages, soundEnd, end, unsure } = await salvageSegment({
    window,
    salt,
    position,
    begin,
    headerBytes,
    length,
  });

  await work.setAside(name);
  const isTorn = known === undefined && !isHopeless && damages.at(-1)?.to === length;
  const gaps = isTorn ? damages.slice(0, -1) : damages;
  const endSequences = knownEnd(end, summary, nextBegin, next !== undefined);
  gaps.at(-1)?.lost.push(...lostBetween(end.nextSequences, endSequences));
  if (header === undefined || begin.nextSequences.some((sequence, at) => sequence !== header.nextSequences[at])) {
    const createdTime = header?.createdTime ?? Math.max(...begin.lastTimes);
    const { nextSequences, lastTimes } = begin;
    await file.write([encodeSegmentHeader({ salt, position, createdTime, nextSequences, lastTimes })], 0);
    actions.push(`${name}: the header was made again`);
  }
  for (const { from, to, lost, time } of gaps) {
    await writeGap(file, { from, to, lost, time, salt, position });
    work.lost.push(...lost.map((run) => ({ ...run, atMost: false })));
    actions.push(`${name}: bytes ${from} to ${to} cannot be read and were replaced by a gap${describeLost(lost)}`);
  }
  let place = isTorn ? soundEnd : length;
  if (isTorn || isHopeless) await file.truncate(place);
  if (isTorn) actions.push(`${name}: the torn end was cut at byte ${soundEnd}`);
  if (known === undefined) {
    const partitions = isTorn ? (damages.at(-1)?.unsureBefore ?? []) : unsure;
    const bytes = isHopeless ? size : gaps.reduce((sum, { from, to }) => sum + to - from, 0);
    const count = Math.floor(bytes / EVENT_BYTES_MIN);
    const lost =
      count === 0
        ? []
        : partitions.map((partition) => ({ partition, firstSequence: end.nextSequences[partition], count }));
    if (lost.length > 0) {
      const time = Math.max(1, ...end.lastTimes);
      await writeGap(file, { from: place, to: place + gapBytes(lost.length), lost, time, salt, position });
      place += gapBytes(lost.length);
      work.lost.push(...lost.map((run) => ({ ...run, atMost: true })));
      actions.push(
        `${name}: nothing tells what else was lost; numbers go on behind all that can have been${describeLost(lost)}`,
      );
    }
  }
  await file.sync();

  const mended = await scanStrictly(work, file, position, place);
  assert(mended !== undefined, 'a mended segment is sound');
  await files.unlink(indexPath(folder, position)).catch(ignoreMissing);
  await writeIndex(files, folder, mended);
  return mended;
}

/** What the segment's end must be, for what comes behind it; partitions of which nothing is known end where they do. */
function knownEnd(
  end: PartitionState,
  summary: SegmentSummary | undefined,
  nextBegin: readonly (number | undefined)[] | undefined,
  isFollowed: boolean,
): readonly number[] {
  const told = isFollowed ? nextBegin : summary?.end.nextSequences;
  return end.nextSequences.map((sequence, partition) => Math.max(sequence, told?.[partition] ?? sequence));
}

/** The last segment is gone, but its index says what it held: a segment with nothing but the gap keeps its numbers. */
async function replaceMissing(work: Work, summary: SegmentSummary, before: Segment | undefined): Promise<Segment> {
  const { folder, files, random, partitionCount, actions } = work;
  const { position, lastTime } = summary;
  const { nextSequences, lastTimes } = before?.end ?? summary.begin;
  const salt = random.bytes(SALT_BYTES);
  const header = { salt, position, createdTime: lastTime, nextSequences, lastTimes };
  const file = await createSegmentFile(files, folder, header);
  try {
    const from = segmentHeaderBytes(partitionCount);
    const to = from + gapBytes(partitionCount);
    const lost = lostBetween(nextSequences, summary.end.nextSequences);
    await writeGap(file, { from, to, lost, time: Math.max(1, lastTime), salt, position });
    await file.sync();
    work.lost.push(...lost.map((run) => ({ ...run, atMost: false })));
    actions.push(`${journalName(position)} is missing and was replaced by a gap${describeLost(lost)}`);
    const made = await scanStrictly(work, file, position, to);
    assert(made !== undefined, 'a segment that was just made is sound');
    await writeIndex(files, folder, made);
    return made;
  } finally {
    await file.close();
  }
}

async function mendIndex(work: Work, segment: Segment): Promise<void> {
  const { folder, files, partitionCount, actions } = work;
  const { position } = segment;
  const name = indexName(position);
  const names = await files.list(folder);
  const isLast = positionsOf(names, 'journal').at(-1) === position;
  // The last segment of a log that was not closed has none yet.
  if (!names.includes(name) && isLast) return;
  const index = await readIndex(files, folder, position, partitionCount);
  const isSame =
    index !== undefined &&
    segment.index !== undefined &&
    encodeIndex(index.summary, index.entries).equals(encodeIndex(segment, segment.index));
  if (isSame) return;
  if (names.includes(name)) await work.setAside(name);
  await writeIndex(files, folder, segment);
  actions.push(`${name} was made again from its segment`);
}

/** The segment if all of `length` is sound, else undefined. */
async function scanStrictly(
  work: Work,
  file: JournalFile,
  position: number,
  length: number,
): Promise<Segment | undefined> {
  const scan = { path: journalPath(work.folder, position), position, partitionCount: work.partitionCount, length };
  try {
    const result = await scanSegment(file, scan);
    return result?.faultAt === undefined ? result?.segment : undefined;
  } catch (error) {
    if (error instanceof EventLogCorruption) return undefined;
    throw error;
  }
}
