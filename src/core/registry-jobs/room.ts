import type { Principal } from '../identity/types.ts';
import type { JobRequest, RegistryJob } from './types.ts';

/** Import and export of the registry, as doors see them. */
export interface RegistryJobs {
  /**
   * Begins one.
   * @throws HubError ArgumentInvalid, JobQuotaExceeded (one is under way), BlobContainerValidationError
   */
  create(principal: Principal, request: JobRequest): Promise<RegistryJob>;
  /** @throws HubError JobNotFound */
  get(principal: Principal, id: string): Promise<RegistryJob>;
  /**
   * The same for a caller that asks for a job over devices by this id; a refusal is told to no one.
   * @throws HubError JobNotFound
   */
  glimpse(principal: Principal, id: string): Promise<Pick<RegistryJob, 'id' | 'plan' | 'createdTime'>>;
  /** Newest first. */
  list(principal: Principal): Promise<readonly RegistryJob[]>;
  /** Ends it after the page that is under way; one that has ended stays as it is. @throws HubError JobNotFound */
  cancel(principal: Principal, id: string): Promise<void>;
  /** Makes a container of the hub's own store: its address lets its bearer read and write files in it until a time. */
  openArea(principal: Principal, lifeMs: number): Promise<JobArea>;
}

export interface JobArea {
  readonly uri: string;
  /** UTC milliseconds. */
  readonly expiresAt: number;
}
