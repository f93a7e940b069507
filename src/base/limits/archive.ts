/** The archive of events. Read as part of `limits` (`../limits.ts`), which says what stands here. */
import { MiB } from './units.ts';

export const archiveLimits = {
  /** Rows of a row group: small enough for a reader that wants one of them, at a cost of 4 % of the size (measured). */
  archiveGroupRows: 10_000,
  /** What a row group holds in memory before it is written, about. */
  archiveGroupBytes: 32 * MiB,
  /** A block of Avro, and what is written of JSON at a time. */
  archivePieceBytes: 1 * MiB,
} as const;
