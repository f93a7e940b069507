/** The archive of events. Read as part of `limits` (`../limits.ts`), which says what stands here. */
import { MiB, SECOND_MS } from './units.ts';

export const archiveLimits = {
  /** Rows of a row group: small enough for a reader that wants one of them, at a cost of 4 % of the size (measured). */
  archiveGroupRows: 10_000,
  /** What a row group holds in memory before it is written, about. */
  archiveGroupBytes: 32 * MiB,
  /** A block of Avro, and what is written of JSON at a time. */
  archivePieceBytes: 1 * MiB,
  /** Bytes of the log of which a file is made, and what they may be set to: a file is in memory until it is stored. */
  archiveFileBytesDefault: 64 * MiB,
  archiveFileBytesMin: 1 * MiB,
  archiveFileBytesMax: 256 * MiB,
  /** How long the oldest event waits for its file. */
  archiveFileSecondsDefault: 900,
  archiveFileSecondsMax: 86_400,
  archivePrefixCharsMax: 200,
  /** Files that a row of the list tells of: what it takes is below `cursorRowCharsMax`. */
  archiveBlockFiles: 150,
  /** Rows of the list that are read at a time. */
  archiveBlocksPage: 32,
  /** Between two looks at what waits. */
  archiveLookMs: 1 * SECOND_MS,
  /** Readings of the log, of 1 MiB, by which a look goes over events that are not for the archive, before others have their turn. */
  archiveReadsPerStep: 16,
  /** Events that were gone over, or the time, after which the cursor is saved though there is no file. */
  archiveSkipEvents: 100_000,
  archiveSkipMs: 30 * SECOND_MS,
  /** Between two tries to store a file; doubled each time, up to the greater one. */
  archiveRetryMs: 1 * SECOND_MS,
  archiveRetryMsMax: 60 * SECOND_MS,
  /** After so long without a file to make, the archive's thread ends. */
  archiveThreadIdleMs: 120 * SECOND_MS,
  /** Groups of archived events that are kept for those who read history, and files whose ends are. */
  historyBytesMax: 64 * MiB,
  historyFilesOpenMax: 64,
  /** A column of a row group, unpacked, and its records together: a group has at most `archiveGroupBytes` and one event. */
  historyGroupBytesMax: 64 * MiB,
  /**
   * How old the list of files may be, by which history finds none in the store, where the log has removed nothing since; and how often
   * those who wait for events that are on their way into the archive look again.
   */
  historyListMs: 1 * SECOND_MS,
  /** So long they wait. Then they get an error: SDKs try again, and tell of it. */
  historyWaitMs: 60 * SECOND_MS,
  /** Files of which one request tells, or looks whether they are there; problems that it tells of. */
  archiveFilesPage: 200,
  archiveProblemsMax: 100,
} as const;
