/** Picking from runs that follow each other: what readers of every kind of log do. */
import type { EventRun } from '../../core/events/types.ts';
import { cutRun, type JournalRun } from './format.ts';

/**
 * From `runs`, which follow each other, those from sequence number `from` on, about `bytesMax` bytes, at least one event.
 * `left` is what may still be added: 0 when the next event did not fit, because a later, smaller one would leave a gap.
 */
export function takeRuns(
  runs: readonly EventRun[],
  from: number,
  bytesMax: number,
): { readonly runs: readonly EventRun[]; readonly left: number } {
  const taken: EventRun[] = [];
  let left = bytesMax;
  for (let at = findRun(runs, from); at < runs.length && (left > 0 || taken.length === 0); at++) {
    if (isLost(runs[at])) return { runs: taken, left: 0 };
    const run = cutRun(runs[at], from, left);
    taken.push(run);
    left = run.end < runs[at].end ? 0 : left - (run.end - run.start);
  }
  return { runs: taken, left };
}

/** The first millisecond that matches: times are whole, so "later than t" is "from the next one on". */
export function earliestTime(position: { readonly time: number; readonly inclusive: boolean }): number {
  return position.inclusive ? Math.ceil(position.time) : Math.floor(position.time) + 1;
}

function isLost(run: EventRun | JournalRun): boolean {
  return 'lost' in run && run.lost;
}

/** The place of the run that holds `sequence`; the runs' end if all are before it. */
export function findRun(runs: readonly EventRun[], sequence: number): number {
  let low = 0;
  let high = runs.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (runs[middle].firstSequence + runs[middle].count <= sequence) low = middle + 1;
    else high = middle;
  }
  return low;
}
