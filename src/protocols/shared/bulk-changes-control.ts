/** Changes of many devices, as doors ask for them; the hub carries them out by itself, whoever goes away. */
import type { BulkChange, BulkProgress } from '../../api/bulk-change.ts';
import type { PolicyPrincipal } from '../../core/identity/types.ts';

export interface BulkChangesControl {
  /**
   * Begins a change. Whether the caller may is asked now, and of its rights then with each page of devices, but not whether its proof
   * has ended meanwhile.
   * @throws HubError ArgumentInvalid (the condition, the tags), IotHubUnauthorizedAccess, ThrottlingException
   */
  start(principal: PolicyPrincipal, change: BulkChange): Promise<BulkProgress>;
  /** Newest first. */
  list(): readonly BulkProgress[];
  /** @throws HubError JobNotFound */
  get(id: string): BulkProgress;
  /** Changes no further page of devices; the one under way is waited for. @throws HubError JobNotFound, JobRunPreconditionFailed (it has ended) */
  cancel(id: string): Promise<BulkProgress>;
  /**
   * Goes on with one that has ended before its end, as a new change in its place, with the rights of who asks for it.
   * @throws HubError JobNotFound, JobRunPreconditionFailed (it is running, or completed), ThrottlingException
   */
  resume(principal: PolicyPrincipal, id: string): Promise<BulkProgress>;
}
