/** Files of events in a store of objects, and the list of them. Plain data. */
import type { ArchiveEndpoint } from '../routes/endpoints/archive.ts';

export type ArchiveFormat = ArchiveEndpoint['format'];

/**
 * One file: all events of one partition, from `first` to `last`, that the endpoint was to have. Ranges of files follow each other
 * without gap, so that each event is in one file.
 */
export interface ArchivedFile {
  /** Sequence numbers, both inclusive. Where routes left events out, the file need not hold these two. */
  readonly first: number;
  readonly last: number;
  /** Enqueued times of the first and the last event in it, UTC milliseconds. */
  readonly firstTime: number;
  readonly lastTime: number;
  readonly events: number;
  /** Of the file; undefined = it is planned, and not known to be in the store. */
  readonly bytes: number | undefined;
  /** Events of its range that retention had taken before they were written. */
  readonly missed: number;
}

/** Where files are, and how they are called: what their paths are made of. */
export interface FileScheme {
  readonly eventHub: string;
  readonly partition: number;
  readonly prefix: string;
  readonly naming: ArchiveEndpoint['naming'];
  readonly format: ArchiveFormat;
}

/** A file with its place in the store. */
export interface ListedFile extends ArchivedFile {
  readonly partition: number;
  readonly path: string;
  readonly format: ArchiveFormat;
}

/** How it goes with an archive, at this node. */
export interface ArchiveStatus {
  readonly endpoint: string;
  /** `unknown` = nothing was tried yet. */
  readonly state: 'unknown' | 'healthy' | 'degraded';
  /** Why it is degraded, and what to do. */
  readonly reason: string | undefined;
  /** Of the state, UTC milliseconds. */
  readonly since: number;
  /** Partitions that this node archives. */
  readonly partitions: number;
  /** Events that are in no file yet, at most (routes may leave some out), and the age of the oldest one. */
  readonly lagEvents: number;
  readonly lagSeconds: number;
  /** Since the start of this process. */
  readonly totals: ArchiveTotals;
}

export interface ArchiveTotals {
  readonly files: number;
  readonly events: number;
  readonly bytes: number;
  /** Tries of a file that failed. */
  readonly failures: number;
  readonly missed: number;
}

/** What a look at the files has found. */
export interface ArchiveReport {
  readonly endpoint: string;
  readonly files: number;
  readonly events: number;
  readonly bytes: number;
  readonly problems: readonly FileProblem[];
  /** Further problems, which are only counted. */
  readonly moreProblems: number;
  /** As of `FileList`. */
  readonly next: number | undefined;
}

export interface FileProblem {
  readonly partition: number;
  readonly path: string;
  readonly problem: 'missing' | 'size' | 'content' | 'overlap' | 'missed';
  /** What was found, and what becomes of it. */
  readonly detail: string;
}
