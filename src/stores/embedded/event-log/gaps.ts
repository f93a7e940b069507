/** Gaps: stretches of a journal that stand for events that are lost (`docs/data-files.md`, "Gaps"). */
import { BATCH_FIXED_BYTES, encodeGap, type LostRun, RUN_BYTES } from '../../event-log/format.ts';
import type { JournalFile } from './files.ts';
import { journalName } from './segment.ts';

export interface LostEvents extends LostRun {
  /** True where nothing tells how many there were: the numbers then go on behind all that there can have been. */
  readonly atMost: boolean;
}

/** Longest batch that stands for lost events: a reader takes it from the disk as a whole. */
const GAP_BYTES_MAX = 1024 * 1024;

interface Gap {
  readonly from: number;
  readonly to: number;
  readonly lost: readonly LostRun[];
  readonly time: number;
  readonly salt: Buffer;
  readonly position: number;
}

export const gapBytes = (runs: number): number => BATCH_FIXED_BYTES + RUN_BYTES * runs;

/** Fills the stretch with batches; the first one names what is lost. @throws Error when there is no room for that */
export async function writeGap(file: JournalFile, { from, to, lost, time, salt, position }: Gap): Promise<void> {
  if (to - from < gapBytes(lost.length)) {
    throw new Error(
      `${journalName(position)}, byte ${from}: the stretch is too short to be mended. Restore the file from a copy.`,
    );
  }
  for (let at = from; at < to; ) {
    const isLastOne = to - at <= GAP_BYTES_MAX;
    const length = isLastOne ? to - at : Math.min(GAP_BYTES_MAX, to - at - BATCH_FIXED_BYTES);
    const bytes = encodeGap(at === from ? lost : [], length, { salt, position: position + at, time });
    await file.write([bytes], at);
    at += length;
  }
}

/** For a report: which numbers of which partitions; empty where none is lost. */
export function describeLost(lost: readonly LostRun[]): string {
  if (lost.length === 0) return '';
  const ranges = lost.map(
    ({ partition, firstSequence, count }) => `${partition}: ${firstSequence} to ${firstSequence + count - 1}`,
  );
  return `; lost sequence numbers by partition: ${ranges.join(', ')}`;
}
