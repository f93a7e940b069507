import { assert } from '../../../base/assert.ts';
import { limits } from '../../../base/limits.ts';
import type { EventPosition, EventRun, PartitionFacts } from '../../../core/events/types.ts';
import { codeOf } from '../../event-log/errors.ts';
import type { JournalRun } from '../../event-log/format.ts';
import type { RecentRuns } from '../../event-log/recent-runs.ts';
import type { RunMemory } from '../../event-log/run-memory.ts';
import { earliestTime, findRun, takeRuns } from '../../event-log/runs.ts';
import type { Extent, ExtentReader } from './extents.ts';
import type { Segment } from './segment.ts';

/** The durable state of a log, as its readers see it. */
export interface Readable {
  /** Ascending; never empty once a batch is durable. */
  readonly segments: readonly Segment[];
  facts(partition: number): PartitionFacts;
  readonly tail: RecentRuns;
  readonly extents: ExtentReader;
  readonly memory: RunMemory;
}

/** As `EventLog.read`. @param held takes the buffers that the runs point into: the caller holds each of them. */
export async function readRuns(
  log: Readable,
  partition: number,
  fromSequence: number,
  bytesMax: number,
  held: Buffer[],
): Promise<readonly EventRun[]> {
  const runs: EventRun[] = [];
  let next = fromSequence;
  let left = bytesMax;
  for (let extents = 0; extents < limits.extentsPerReadMax; ) {
    const { firstSequence, lastSequence } = log.facts(partition);
    // What retention took away meanwhile ends the answer: runs of one answer follow each other.
    if (next < firstSequence && runs.length > 0) break;
    next = Math.max(next, firstSequence);
    if (next > lastSequence || (left <= 0 && runs.length > 0)) break;
    const extent = tailHolds(log.tail, partition, next) ? undefined : await extentOf(log, partition, next);
    if (extent === 'gone') continue;
    const source = extent?.runs[partition] ?? log.tail.runs(partition);
    if (extent !== undefined) {
      held.push(extent.bytes);
      const gapEnd = endOfGap(extent.runs[partition], next);
      if (gapEnd !== undefined) {
        // As with retention: an answer ends before what is missing, and the next one begins behind it.
        if (runs.length > 0) break;
        next = gapEnd;
        continue;
      }
      extents++;
    }
    const taken = takeRuns(source, next, left);
    assert(taken.runs.length > 0, 'the index leads to every durable event');
    for (const run of taken.runs) {
      if (extent === undefined) {
        log.memory.hold(run.bytes);
        held.push(run.bytes);
      }
      runs.push(run);
      next = run.firstSequence + run.count;
    }
    left = taken.left;
  }
  return runs;
}

/** As `EventLog.seek`. */
export async function seekSequence(log: Readable, partition: number, position: EventPosition): Promise<number> {
  const { firstSequence, lastSequence } = log.facts(partition);
  switch (position.kind) {
    case 'start':
      return firstSequence;
    case 'end':
      return lastSequence + 1;
    case 'sequence':
      return Math.max(firstSequence, position.inclusive ? position.sequence : position.sequence + 1);
    case 'time':
      return seekTime(log, partition, earliestTime(position));
  }
}

/** The first sequence number whose time is at least `time`. Time never goes back in the journal. */
async function seekTime(log: Readable, partition: number, time: number): Promise<number> {
  for (;;) {
    const { firstSequence, lastSequence, lastTime } = log.facts(partition);
    if (lastSequence < firstSequence || time > lastTime) return lastSequence + 1;
    const segment = log.segments.find((each) => each.lastTime >= time);
    if (segment === undefined) return lastSequence + 1;
    const found = await ifKept(log, segment, () => seekInSegment(log, segment, partition, time));
    if (found !== undefined) return Math.max(found, log.facts(partition).firstSequence);
  }
}

async function seekInSegment(log: Readable, segment: Segment, partition: number, time: number): Promise<number> {
  const index = await log.extents.index(segment);
  const entry = index.findTime(time);
  const behind =
    entry + 1 < index.count ? index.nextSequence(entry + 1, partition) : segment.end.nextSequences[partition];
  const extent = await log.extents.extent(segment, index, entry);
  const run = extent.runs[partition].find((each) => each.time >= time);
  log.memory.letGo(extent.bytes);
  // Everything behind this extent is at least as late, so the next event of the partition is the answer.
  return run?.firstSequence ?? behind;
}

async function extentOf(log: Readable, partition: number, sequence: number): Promise<Extent | 'gone'> {
  const segment = segmentOf(log.segments, partition, sequence);
  const extent = await ifKept(log, segment, async () => {
    const index = await log.extents.index(segment);
    return log.extents.extent(segment, index, index.findSequence(partition, sequence));
  });
  return extent ?? 'gone';
}

/** Undefined when retention has removed the segment while it was about to be read. */
async function ifKept<Value>(log: Readable, segment: Segment, read: () => Promise<Value>): Promise<Value | undefined> {
  try {
    return await read();
  } catch (error) {
    if (codeOf(error) === 'ENOENT' && !log.segments.includes(segment)) return undefined;
    throw error;
  }
}

/** The last segment whose beginning is not behind `sequence`: the ones after it begin later. */
function segmentOf(segments: readonly Segment[], partition: number, sequence: number): Segment {
  let low = 0;
  let high = segments.length;
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    if (segments[middle].begin.nextSequences[partition] <= sequence) low = middle;
    else high = middle;
  }
  return segments[low];
}

/** The first number behind the lost ones, if `sequence` is one of those. */
function endOfGap(runs: readonly JournalRun[], sequence: number): number | undefined {
  const run = runs[findRun(runs, sequence)];
  return run?.lost ? run.firstSequence + run.count : undefined;
}

function tailHolds(tail: RecentRuns, partition: number, sequence: number): boolean {
  const runs = tail.runs(partition);
  return runs.length > 0 && runs[0].firstSequence <= sequence;
}
