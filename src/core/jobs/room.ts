import type { Principal } from '../identity/types.ts';
import type { Job, JobKind, JobStatus, JobWork } from './types.ts';

/** Jobs as doors see them. */
export interface Jobs {
  /**
   * Takes a job, which begins when its time has come.
   * @throws HubError ArgumentInvalid, ArgumentNull, MessageTooLarge, JobAlreadyExists, ThrottlingMaxActiveJobCountExceeded
   */
  create(principal: Principal, request: JobRequest): Promise<Job>;
  /** @throws HubError JobNotFound */
  get(principal: Principal, id: string): Promise<Job>;
  /** Begins no further device from here on. @throws HubError JobNotFound, JobRunPreconditionFailed (it has ended) */
  cancel(principal: Principal, id: string): Promise<Job>;
  /** Newest first. @throws HubError ArgumentInvalid (the continuation is none) */
  list(principal: Principal, of: JobListing): Promise<JobPage>;
}

export interface JobRequest {
  readonly id: string;
  readonly condition: string;
  readonly work: JobWork;
  /** UTC milliseconds; absent, and everything past = now. */
  readonly startTime?: number;
  /** Absent = `limits.jobExecutionMsDefault`. */
  readonly maxExecutionMs?: number;
}

export interface JobListing {
  readonly kind?: JobKind;
  readonly status?: JobStatus;
  readonly countMax?: number;
  readonly continuation?: string;
}

export interface JobPage {
  readonly jobs: readonly Job[];
  /** Absent = there is nothing behind it. */
  readonly continuation?: string;
}
