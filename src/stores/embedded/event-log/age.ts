/**
 * How old a segment is, in running time. The journal's files say nothing of it (their times are the clock's, which jumps), so
 * it is kept beside them, as marks: up to this position everything was written by that running time.
 */
import type { Clock } from '../../../base/clock.ts';
import { limits } from '../../../base/limits.ts';
import type { Segment } from './segment.ts';

/** An upper bound: what stands before `position` was written at `stampMs` of running time or earlier. */
export type AgeMark = readonly [position: number, stampMs: number];

/** The hub's running time (`base/running-time.ts`), as one event log sees it; milliseconds. */
export interface RunningTime {
  /** Goes on while the hub runs, and never goes back. */
  passed(): number;
  /** What a batch that is written now is stamped with: not below `passed`, whatever is counted later of earlier times. */
  stamp(): number;
  /** As they were kept by an earlier run. */
  readonly marks: readonly AgeMark[];
  /** @param marks asked whenever they are kept, also after the log was closed */
  follow(marks: () => readonly AgeMark[]): void;
}

/** For a log whose age outlives no restart: after one, everything in it is as young as the restart. */
export const unkeptRunningTime = (clock: Clock): RunningTime => ({
  passed: () => clock.monotonic(),
  stamp: () => clock.monotonic(),
  marks: [],
  follow: () => {},
});

/** Stamps the segments that an earlier run has left. What no mark covers may have been written until just now. */
export function stampSegments(segments: readonly Segment[], { marks, stamp }: RunningTime): void {
  const last = segments.at(-1);
  const end = last === undefined ? 0 : last.position + last.length;
  // Marks behind the end are of another journal, of which something was lost.
  const sound = marks.every(([position]) => position <= end) ? marks : [];
  let [at, best] = [sound.length - 1, stamp()];
  for (const segment of segments.toReversed()) {
    for (; at >= 0 && sound[at][0] >= segment.position + segment.length; at--) best = Math.min(best, sound[at][1]);
    segment.writtenAt = best;
  }
}

/** @returns marks in the order of their positions, few enough for a file that is written often */
export function marksOf(segments: readonly Segment[], retentionMs: number): readonly AgeMark[] {
  const step = Math.max(limits.segmentAgeMsMin, retentionMs / limits.ageMarksPerRetention);
  const marks: AgeMark[] = [];
  let later = Number.POSITIVE_INFINITY;
  // From the end, so that a segment without a mark of its own has a later one, never an earlier one.
  for (const { position, length, writtenAt } of segments.toReversed()) {
    if (writtenAt > later - step) continue;
    marks.push([position + length, writtenAt]);
    later = writtenAt;
    if (marks.length >= limits.ageMarksMax) break;
  }
  return marks.reverse();
}
