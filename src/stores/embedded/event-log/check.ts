import type { EventRun } from '../../../core/events/types.ts';
import { EventLogCorruption } from '../../event-log/errors.ts';
import { type LostRun, type ParsedBatch, segmentHeaderBytes } from '../../event-log/format.ts';
import { type JournalFiles, systemFiles } from './files.ts';
import { readIndex, readSummary } from './index-file.ts';
import { META_NAME, readMeta } from './meta.ts';
import { type ScanResult, scanSegment } from './scan.ts';
import { follows, indexName, journalName, journalPath, positionsOf, type Segment } from './segment.ts';
import type { SegmentSummary, SparseIndex } from './sparse-index.ts';

/** What `mooring data check` tells of one event log. */
export interface EventLogCheck {
  readonly folder: string;
  /** Undefined when `log.meta` cannot be read: then nothing else was looked at. */
  readonly partitionCount: number | undefined;
  readonly segments: readonly SegmentCheck[];
  readonly problems: readonly EventLogProblem[];
  /** Events that an earlier repair could not save; they are no problem any more. */
  readonly lost: readonly LostRun[];
}

export interface SegmentCheck {
  readonly file: string;
  /** Sound bytes from the segment's beginning on. */
  readonly bytes: number;
  readonly batches: number;
  readonly records: number;
  /** UTC milliseconds; 0 = no events. */
  readonly firstTime: number;
  readonly lastTime: number;
}

/**
 * `torn`: what a crash leaves at the end, the next start mends it, nothing acknowledged is lost. `index`: an index is made
 * again from its segment. `damaged`: stored events cannot be read.
 */
export interface EventLogProblem {
  readonly kind: 'torn' | 'index' | 'damaged';
  readonly file: string;
  /** Byte in the file from which on it cannot be believed. */
  readonly place: number;
  readonly what: string;
}

/**
 * Reads every byte of an event log and says what is wrong with it. Changes nothing; the log must not be open.
 * @throws the system's error when a file cannot be read at all.
 */
export async function checkEventLog(folder: string, files: JournalFiles = systemFiles): Promise<EventLogCheck> {
  const problems: EventLogProblem[] = [];
  const segments: SegmentCheck[] = [];
  const lost: LostRun[] = [];
  const names = await files.list(folder);
  const positions = positionsOf(names, 'journal');
  const meta = await readMeta(files, folder);
  if (meta === undefined) {
    const what = 'the file is missing or damaged';
    if (positions.length > 0) problems.push({ kind: 'damaged', file: META_NAME, place: 0, what });
    return { folder, partitionCount: undefined, segments, problems, lost };
  }
  const { partitionCount } = meta;
  let before: Segment | undefined;
  for (let at = 0; at < positions.length; at++) {
    const position = positions[at];
    const hasIndex = names.includes(indexName(position));
    const options = { folder, files, partitionCount, position, next: positions[at + 1], hasIndex };
    const checked = await checkSegment(options, problems, lost);
    segments.push(checked.facts);
    if (at > 0 && before !== undefined && checked.segment !== undefined && !follows(before, checked.segment)) {
      const what = 'the segment does not follow the one before it';
      problems.push({ kind: 'damaged', file: checked.facts.file, place: 0, what });
    }
    before = checked.segment;
  }
  for (const position of positionsOf(names, 'index')) {
    if (positions.includes(position)) continue;
    const isBehind = position > (positions.at(-1) ?? -1);
    const summary = isBehind ? await readSummary(files, folder, position, partitionCount) : undefined;
    // Retention removes a segment before its index, but only at the beginning of the log.
    if (summary !== undefined && summary.lastTime !== 0) {
      problems.push({ kind: 'damaged', file: journalName(position), place: 0, what: 'the segment is missing' });
    } else problems.push({ kind: 'index', file: indexName(position), place: 0, what: 'there is no such segment' });
  }
  return { folder, partitionCount, segments, problems, lost };
}

interface CheckOptions {
  readonly folder: string;
  readonly files: JournalFiles;
  readonly partitionCount: number;
  readonly position: number;
  /** Position of the segment behind it; undefined = it is the last one. */
  readonly next: number | undefined;
  readonly hasIndex: boolean;
}

async function checkSegment(
  options: CheckOptions,
  problems: EventLogProblem[],
  lost: LostRun[],
): Promise<{ readonly segment: Segment | undefined; readonly facts: SegmentCheck }> {
  const { folder, files, partitionCount, position, next, hasIndex } = options;
  const name = journalName(position);
  const index = await readIndex(files, folder, position, partitionCount);
  const entries = new EntryCheck(index?.entries);
  let batches = 0;
  let records = 0;
  const visit = (batch: ParsedBatch, before: Segment): void => {
    batches++;
    entries.visit(batch, before);
    for (const run of batch.runs) {
      if (run.lost) {
        const { partition, firstSequence, count } = run;
        lost.push({ partition, firstSequence, count });
        continue;
      }
      records += run.count;
      if (isWellFormed(run)) continue;
      const what = 'the lengths of the events do not add up';
      problems.push({ kind: 'damaged', file: name, place: before.length, what });
    }
  };

  const file = await files.open(journalPath(folder, position));
  let result: ScanResult | undefined;
  try {
    const size = await file.size();
    const expected = next === undefined ? index?.summary.length : next - position;
    if (expected !== undefined && size < expected) {
      const what = `the file ends here, but ${expected} bytes were written`;
      problems.push({ kind: 'damaged', file: name, place: size, what });
    }
    const length = Math.min(size, expected ?? size);
    result = await scanSegment(file, { path: name, position, partitionCount, length }, visit);
    problems.push(...faultsOf(result, name, expected !== undefined, length <= segmentHeaderBytes(partitionCount)));
  } catch (error) {
    if (!(error instanceof EventLogCorruption)) throw error;
    problems.push({ kind: 'damaged', file: name, place: error.place, what: error.what });
  } finally {
    await file.close();
  }
  // What stands behind a damaged segment cannot be held against it.
  const segment = result?.faultAt === undefined ? result?.segment : undefined;
  if (index === undefined) {
    // The last segment of a log that was not closed has none yet.
    const what = 'it is missing or damaged';
    if (next !== undefined || hasIndex) problems.push({ kind: 'index', file: indexName(position), place: 0, what });
  } else if (segment !== undefined && !(entries.isComplete() && agrees(index.summary, segment))) {
    problems.push({ kind: 'index', file: indexName(position), place: 0, what: 'it does not fit its segment' });
  }
  const { length: bytes = 0, firstTime = 0, lastTime = 0 } = result?.segment ?? {};
  return { segment, facts: { file: name, bytes, batches, records, firstTime, lastTime } };
}

function faultsOf(
  result: ScanResult | undefined,
  file: string,
  isLengthKnown: boolean,
  isShort: boolean,
): readonly EventLogProblem[] {
  if (result === undefined) {
    const kind = isShort && !isLengthKnown ? 'torn' : 'damaged';
    return [{ kind, file, place: 0, what: "the segment's header is damaged" }];
  }
  const { faultAt, soundAt } = result;
  if (faultAt === undefined) return [];
  if (soundAt !== undefined) {
    const what = `a damaged batch; the next sound one is at byte ${soundAt}`;
    return [{ kind: 'damaged', file, place: faultAt, what }];
  }
  if (isLengthKnown) return [{ kind: 'damaged', file, place: faultAt, what: 'a damaged batch' }];
  return [{ kind: 'torn', file, place: faultAt, what: 'a torn batch at the end' }];
}

/** Holds an index against the batches of its segment while they go by. */
class EntryCheck {
  readonly #index: SparseIndex | undefined;
  #next = 0;
  #isRight = true;

  constructor(index: SparseIndex | undefined) {
    this.#index = index;
  }

  visit(batch: ParsedBatch, before: Segment): void {
    const index = this.#index;
    if (index === undefined || this.#next >= index.count || index.place(this.#next) > before.length) return;
    const entry = this.#next++;
    this.#isRight &&=
      index.place(entry) === before.length &&
      index.time(entry) === batch.time &&
      before.end.nextSequences.every((sequence, partition) => index.nextSequence(entry, partition) === sequence);
  }

  isComplete(): boolean {
    return this.#isRight && (this.#index === undefined || this.#next === this.#index.count);
  }
}

function agrees(summary: SegmentSummary, segment: Segment): boolean {
  const same = (a: readonly number[], b: readonly number[]): boolean => a.every((value, at) => value === b[at]);
  return (
    summary.salt.equals(segment.salt) &&
    summary.length === segment.length &&
    summary.firstTime === segment.firstTime &&
    summary.lastTime === segment.lastTime &&
    same(summary.begin.nextSequences, segment.begin.nextSequences) &&
    same(summary.begin.lastTimes, segment.begin.lastTimes) &&
    same(summary.end.nextSequences, segment.end.nextSequences) &&
    same(summary.end.lastTimes, segment.end.lastTimes)
  );
}

/** Whether the run's records, by their own lengths, end where the run ends. */
function isWellFormed(run: EventRun): boolean {
  let at = run.start;
  for (let record = 0; record < run.count; record++) {
    if (at + 4 > run.end) return false;
    at += 4 + run.bytes.readUInt32LE(at);
  }
  return at === run.end;
}
