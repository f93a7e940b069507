import type { IdentityKey } from '../identity/types.ts';
import type { FetchProgress, FileGrant, FileNotification, LockedNotification, Upload } from './types.ts';

/**
 * What the hub remembers of files beside their bytes: uploads under way, and notifications for back ends. Every operation
 * is one atomic, durable step at the time `now` (UTC milliseconds of the store's own clock, as in `CommandQueue`). One contract suite
 * (`stores/contract/file-records.ts`) runs over every implementation.
 */
export interface FileRecords {
  /** The secret that signs URLs, 32 bytes; `fresh` becomes it where there is none yet. */
  secret(fresh: Uint8Array): Promise<Uint8Array>;

  /** `full`: so many uploads of the identity are open. `gone`: there is no such generation of it. */
  open(upload: Upload, openMax: number, now: number): Promise<OpenOutcome>;
  /** The identity's upload, open or ended by `close`, until its time is over. */
  find(key: IdentityKey, correlationId: string): Promise<FoundUpload | undefined>;
  /** Ends an open upload; with `notification`, back ends are told in the same step. False: it was not open. */
  close(
    key: IdentityKey,
    correlationId: string,
    notification: NewNotification | undefined,
    now: number,
  ): Promise<boolean>;
  /** The identity is gone: its uploads too. What back ends are to be told of it stays. */
  forget(key: IdentityKey): Promise<void>;

  /** Locks the oldest notification that nobody holds, if there is one. */
  lock(request: NotificationRequest, now: number): Promise<LockedNotification | undefined>;
  /** `complete` removes it; `abandon` counts, and gives it up where that was once too often. False: the lock is gone. */
  settle(
    lockToken: string,
    settlement: 'complete' | 'abandon',
    deliveryCountMax: number,
    now: number,
  ): Promise<boolean>;
  /** Removes uploads and notifications whose time is over, at most `count` of each; the number of them. */
  sweep(count: number, now: number): Promise<number>;
  totals(now: number): Promise<{ readonly uploadsOpen: number; readonly notifications: number }>;
}

export type OpenOutcome =
  | { readonly kind: 'opened' }
  | { readonly kind: 'full'; readonly open: number }
  | { readonly kind: 'gone' };

export interface FoundUpload extends Upload {
  readonly isOpen: boolean;
}

export interface NewNotification extends Omit<FileNotification, 'sequence'> {
  /** UTC milliseconds from which it is not handed out any more. */
  readonly expiresAt: number;
}

export interface NotificationRequest {
  readonly lockToken: string;
  readonly lockMs: number;
}

/** Which device may fetch what, and how far it has come. As `FileRecords`: atomic, durable, at the time of the store's clock. */
export interface GrantRecords {
  /**
   * Keeps grants of which no two are of one identity and name; an older one of that name ends. Those of identities that are not there in that generation are left out;
   * `full`: the identity has so many already.
   */
  grant(grants: readonly FileGrant[], perIdentityMax: number, now: number): Promise<readonly GrantOutcome[]>;
  find(id: string): Promise<FileGrant | undefined>;
  /** The identity's grant of that name, unless its time is over. */
  findByName(key: IdentityKey, name: string, now: number): Promise<FileGrant | undefined>;
  /** Newest first, at most `limit`, older than the one with id `after`. */
  list(of: GrantFilter, page: { readonly after?: string; readonly limit: number }): Promise<readonly FileGrant[]>;
  /** Replaces what is known of its fetching; where it was at another file (ETag) before, that is forgotten. */
  progress(id: string, progress: FetchProgress): Promise<void>;
  /** Ends one. False: there was none. */
  revoke(id: string): Promise<boolean>;
  /** The identity is gone, and its grants with it. */
  forget(key: IdentityKey): Promise<void>;
  /** Removes at most `count` whose time was over before `before`. */
  sweep(before: number, count: number): Promise<number>;
}

export type GrantOutcome = 'granted' | 'full' | 'gone';

export type GrantFilter = { readonly key: IdentityKey } | { readonly path: string };
