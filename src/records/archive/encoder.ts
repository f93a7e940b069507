/** What every form of an archive's file is written by. */
import type { EventRow } from './event-row.ts';

/**
 * Writes one file. Bytes come in pieces, so that a file need not be in memory as a whole:
 *
 *     for (const row of rows) { encoder.add(row); for (const piece of encoder.take()) … }
 *     for (const piece of encoder.finish()) …
 */
export interface ArchiveEncoder {
  /** The row's bytes must stay as they are until the encoder has finished. */
  add(row: EventRow): void;
  /** What is written by now and not taken yet; the caller's own. */
  take(): Uint8Array<ArrayBuffer>[];
  /** The rest. Nothing can be added any more. */
  finish(): Uint8Array<ArrayBuffer>[];
}
