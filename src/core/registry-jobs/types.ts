import type { Identity, IdentityKey } from '../identity/types.ts';
import type { Twin, TwinChange } from '../twins/types.ts';

/** Registry jobs: import and export of the whole registry as files. Plain data, no behaviour. */

/** Names of the files in a container, where the request names none (query reference 3). */
export const DEVICES_FILE = 'devices.txt';
export const CONFIGURATIONS_FILE = 'configurations.txt';
export const ERRORS_FILE = 'importErrors.log';

export type JobState = 'enqueued' | 'running' | 'completed' | 'failed' | 'cancelled';

/** What a back end asks for. */
export interface JobRequest {
  readonly kind: 'export' | 'import';
  /** Container of the file that is read; of an import. With its signature, which is a secret. */
  readonly inputUri: string | null;
  /** Container of the file that is written, or of the list of what an import could not take. Null = an area of the hub is made. */
  readonly outputUri: string | null;
  readonly inputName: string;
  readonly outputName: string;
  readonly excludesKeys: boolean;
  /** Name of the file of configurations; null = they are not asked for. */
  readonly configurationsName: string | null;
}

/** What is fixed when the job is created. */
export interface JobPlan extends JobRequest {
  readonly outputUri: string;
  /** Whether the caller may read and write twins; else they are left out, or told as errors. */
  readonly withTwins: boolean;
  readonly createdBy: string;
}

export interface JobCounts {
  /** Lines of the file, or identities of the registry, as far as it is known. */
  readonly total: number;
  /** Of them that have been dealt with. */
  readonly done: number;
  /** Of those, what was there already just as the file has it. */
  readonly unchanged: number;
  readonly failed: number;
}

export const noCounts: JobCounts = { total: 0, done: 0, unchanged: 0, failed: 0 };

/** Where the work goes on after a stop or a crash. `step` 0 = nothing was done yet. */
export interface JobCursor {
  /** Of an import, the place in its list of passes. */
  readonly pass: number;
  /** Of an import, the byte of the file at which the next page begins, and the number of that line, from 1. */
  readonly offset: number;
  readonly line: number;
  /** Of an import: which file it is. */
  readonly etag: string;
  /** Of an export, the identity behind which the next page begins; null = with the first. */
  readonly after: IdentityKey | null;
  /** Blocks that the file to be written has, and their bytes. */
  readonly blocks: number;
  readonly bytes: number;
}

export const freshCursor: JobCursor = {
  ...{ pass: 0, offset: 0, line: 1, etag: '', after: null, blocks: 0, bytes: 0 },
};

export interface RegistryJob {
  /** A UUID. */
  readonly id: string;
  readonly plan: JobPlan;
  readonly state: JobState;
  /** Why it failed; '' = it has not. */
  readonly reason: string;
  readonly counts: JobCounts;
  readonly cursor: JobCursor;
  /** UTC milliseconds; undefined = not yet. */
  readonly createdTime: number;
  readonly startedTime: number | undefined;
  readonly endedTime: number | undefined;
}

/** One identity with its twin, as an export writes it. */
export interface ExportRow {
  readonly identity: Identity;
  readonly twin: Twin;
}

/** What of a line belongs to the twin of its identity. */
export interface ImportedTwin {
  readonly change: TwinChange | undefined;
  /** What a device had reported, JSON text of a checked patch, and its size; undefined = nothing. */
  readonly reported: { readonly text: string; readonly sizeMax: number } | undefined;
}
