import type { IdentityKey } from '../identity/types.ts';
import type { DeviceResult, DeviceState, Job, JobError, JobKind, JobStatus, NewJob } from './types.ts';

/**
 * Where jobs and the records of their devices are kept. What an answer says is durable; each call is atomic. Times come from the caller, by the
 * store's clock. One contract suite (`stores/contract/jobs.ts`) runs over every implementation.
 *
 * A job is carried on by the node that holds it, until its lease ends. Every call that carries on names the hold, does nothing without
 * it, and renews it.
 */
export interface JobStore {
  /** `full`: `openMax` jobs have not ended. */
  create(job: NewJob, openMax: number): Promise<'created' | 'exists' | 'full'>;
  find(id: string, now: number): Promise<Job | undefined>;
  /** Newest first, behind `after`: at most `limit`, and no more than `charsMax` of what they do, but one at least. */
  list(of: JobFilter, now: number): Promise<ListedJobs>;
  /** No further device is begun from here on. `ended`: it had ended before. */
  cancel(id: string, now: number): Promise<'cancelled' | 'missing' | 'ended'>;
  /**
   * Takes jobs that are to be carried on and that no other node holds, begins those whose time has come while fewer than `runningMax` run, and
   * renews what `node` holds. With `isFirst` the node knows nothing of what it held before: what it was asking then becomes `unknown`.
   */
  claim(terms: ClaimTerms): Promise<readonly HeldJob[]>;
  /** Adds records of devices that were selected, each once, and keeps where the selection has come. */
  select(hold: Hold, piece: SelectedPiece, now: number): Promise<boolean>;
  /**
   * Updates the next twins, and keeps with each that it was updated: both or neither. Of a job that updates twins.
   * @returns undefined = the hold is lost, or the job does not run any more
   */
  updateTwins(hold: Hold, terms: TwinBatchTerms): Promise<TwinBatch | undefined>;
  /** Devices that wait for their method, in order, behind `after`. */
  waiting(id: string, after: IdentityKey | undefined, countMax: number): Promise<readonly IdentityKey[]>;
  /**
   * Keeps that these devices are being asked: what is not in the answer must not be asked. To be durable before any of them is.
   * @returns undefined as `updateTwins`
   */
  begin(hold: Hold, keys: readonly IdentityKey[], now: number): Promise<readonly IdentityKey[] | undefined>;
  /** Keeps what became of devices that were being asked. @returns false = the hold is lost */
  settle(hold: Hold, results: readonly SettledDevice[], terms: RecordTerms): Promise<boolean>;
  /** Ends records that wait, of a job that ends before them. @returns how many were ended; undefined = the hold is lost */
  dismiss(hold: Hold, state: 'failed' | 'cancelled', error: JobError, terms: DismissTerms): Promise<number | undefined>;
  /** Nothing is left to do. A job that was cancelled stays so. @returns false = the hold is lost */
  end(hold: Hold, status: 'completed' | 'failed', reason: string, now: number): Promise<boolean>;
  /**
   * Removes records of jobs that ended before `before`, at most about `countMax`, and then the jobs; while there is more than may be kept, also of
   * others that have ended, the oldest first. @returns how many rows
   */
  sweep(before: number, countMax: number, kept: KeptJobs): Promise<number>;
  /** Jobs by status, of all that are kept. */
  totals(now: number): Promise<JobTotals>;
}

export interface JobFilter {
  readonly kind?: JobKind;
  readonly status?: JobStatus;
  /** The last one of the page before. */
  readonly after?: JobPlace;
  readonly limit: number;
  readonly charsMax: number;
}

export interface ListedJobs {
  readonly jobs: readonly Job[];
  /** Whether there are others behind these. */
  readonly goesOn: boolean;
}

export interface JobPlace {
  readonly createdTime: number;
  readonly id: string;
}

export interface ClaimTerms {
  /** Names the process that asks (`processOf`): what another process of its node holds is free for it at once. */
  readonly node: string;
  readonly isFirst: boolean;
  readonly now: number;
  readonly leaseMs: number;
  readonly runningMax: number;
  /** As of `RecordTerms`: records that become `unknown` have ended. */
  readonly withEvents: boolean;
}

/** What a node proves itself by: `fence` grows each time that a job is taken, so that who held it before holds nothing. */
export interface Hold {
  readonly id: string;
  readonly node: string;
  readonly fence: number;
  readonly leaseMs: number;
}

export interface HeldJob {
  readonly hold: Hold;
  readonly job: Job;
  /** How many records have become `unknown` by this claim. */
  readonly lost: number;
  /** Undefined = every device is selected. */
  readonly selection: SelectionPlace | undefined;
}

/** Where the selection goes on; empty = from the beginning. What stands in it only the selection knows. */
export type SelectionPlace = string;

export interface SelectedPiece {
  readonly keys: readonly IdentityKey[];
  /** Undefined = this was the last piece. */
  readonly next: SelectionPlace | undefined;
}

/** How much is kept at most, while what is carried on allows it. */
export interface KeptJobs {
  readonly jobsMax: number;
  readonly recordsMax: number;
}

export interface RecordTerms {
  readonly now: number;
  /** Whether an event of each record that has ended is kept with it. */
  readonly withEvents: boolean;
}

export interface TwinBatchTerms extends RecordTerms {
  readonly countMax: number;
  /** After so long it takes no other twin. */
  readonly msMax: number;
  /** Whether events of changed twins are kept. */
  readonly withTwinEvents: boolean;
}

export interface TwinBatch {
  readonly completed: number;
  readonly failed: number;
  /** Whether records may wait behind these. */
  readonly goesOn: boolean;
}

/** `waiting`: it was certainly not asked, and may be asked later. */
export interface SettledDevice {
  readonly key: IdentityKey;
  readonly state: Exclude<DeviceState, 'running'>;
  readonly result?: DeviceResult;
}

export interface DismissTerms extends RecordTerms {
  readonly countMax: number;
}

export interface JobTotals {
  readonly jobs: Readonly<Record<JobStatus, number>>;
}
