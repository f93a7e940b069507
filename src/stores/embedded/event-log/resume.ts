/** How a log goes on that has lost its end: numbers are never given twice. */
import { silentLog } from '../../../base/log.ts';
import type { Random } from '../../../base/random.ts';
import { SALT_BYTES, segmentHeaderBytes } from '../../event-log/format.ts';
import { type JournalFiles, systemFiles } from './files.ts';
import { gapBytes, type LostEvents, writeGap } from './gaps.ts';
import type { LedgerEntry } from './ledger.ts';
import { readMeta, writeMeta } from './meta.ts';
import { recover } from './recovery.ts';
import { lostBetween } from './salvage.ts';
import { createSegmentFile } from './segment-file.ts';

/**
 * A log that has lost its end, or everything: a new last segment, so that numbers go on at the ceilings and what is missing is
 * a gap. To be called on a log in which nothing else is wrong.
 * @returns what may be lost: numbers below the ceilings that have been given, or would have been next
 */
export async function resumeAtCeilings(
  {
    folder,
    random,
    files = systemFiles,
  }: {
    readonly folder: string;
    readonly random: Random;
    readonly files?: JournalFiles;
  },
  meta: { readonly partitionCount: number; readonly createdTime: number },
  { newest, ceilings }: LedgerEntry,
): Promise<readonly LostEvents[]> {
  await files.makeFolder(folder);
  const { partitionCount } = meta;
  if ((await readMeta(files, folder)) === undefined) await writeMeta(files, folder, meta);
  const { segments } = await recover({ files, folder, partitionCount, log: silentLog });
  const before = segments.at(-1);
  const salt = random.bytes(SALT_BYTES);
  const position = before === undefined ? newest : before.position + before.length;
  const lastTimes = before?.end.lastTimes ?? new Array<number>(partitionCount).fill(0);
  // Without anything before it the segment begins at the ceilings. Else it must follow, and begins with the gap.
  const nextSequences = before?.end.nextSequences ?? ceilings;
  const createdTime = Math.max(meta.createdTime, ...lastTimes);
  const file = await createSegmentFile(files, folder, { salt, position, createdTime, nextSequences, lastTimes });
  try {
    const lost = before === undefined ? [] : lostBetween(nextSequences, ceilings);
    const from = segmentHeaderBytes(partitionCount);
    if (before !== undefined) {
      const to = from + gapBytes(lost.length);
      await writeGap(file, { from, to, lost, time: Math.max(1, ...lastTimes), salt, position });
      await file.sync();
    }
    return lost.map((run) => ({ ...run, atMost: true }));
  } finally {
    await file.close();
  }
}
