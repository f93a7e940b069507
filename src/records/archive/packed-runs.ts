/** Events of a row group that can be sent to another thread, and are runs of a log there. What reads Parquet is not loaded with it. */
import type { EventRun } from '../../core/events/types.ts';

/** Runs that can be sent to another thread: of each five numbers, as `runsOf` takes them. */
export interface PackedRuns {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly runs: Float64Array<ArrayBuffer>;
}

/** First sequence number, count, time, start, end. */
const RUN_NUMBERS = 5;

export function runsOf({ bytes: { buffer, byteOffset, byteLength }, runs }: PackedRuns): readonly EventRun[] {
  const bytes = Buffer.from(buffer, byteOffset, byteLength);
  return Array.from({ length: runs.length / RUN_NUMBERS }, (_, nth) => {
    const [firstSequence, count, time, start, end] = runs.subarray(nth * RUN_NUMBERS, (nth + 1) * RUN_NUMBERS);
    return { firstSequence, count, time, bytes, start, end };
  });
}
