import type { EventRun } from '../../core/events/types.ts';

/** Runs of one answer in one piece of memory, which moves to the thread that asked. */
export interface PackedRuns {
  readonly bytes: ArrayBuffer;
  /** Where each run's records are in `bytes`, one behind the other. */
  readonly runs: readonly (Pick<EventRun, 'firstSequence' | 'count' | 'time'> & { readonly length: number })[];
}

/** Copies the runs together: where they are, other readers look as well. */
export function packRuns(runs: readonly EventRun[]): PackedRuns {
  const total = runs.reduce((sum, { start, end }) => sum + end - start, 0);
  const target = Buffer.allocUnsafeSlow(total);
  let at = 0;
  for (const { bytes, start, end } of runs) at += bytes.copy(target, at, start, end);
  return {
    bytes: target.buffer as ArrayBuffer,
    runs: runs.map(({ firstSequence, count, time, start, end }) => ({
      firstSequence,
      count,
      time,
      length: end - start,
    })),
  };
}

export function unpackRuns({ bytes, runs }: PackedRuns): readonly EventRun[] {
  const buffer = Buffer.from(bytes);
  let end = 0;
  return runs.map(({ firstSequence, count, time, length }) => {
    const start = end;
    end += length;
    return { firstSequence, count, time, bytes: buffer, start, end };
  });
}
