import type { IdentityKey, Principal } from '../identity/types.ts';
import type { Blob, Content, ContentFacts } from './blob.ts';
import type { Condition, ListedObject, ObjectFacts } from './object-store.ts';
import type { ChooseRange, OpenPart } from './open-part.ts';
import type { GrantFilter } from './ports.ts';
import type { Rollout, RolloutPlan, RolloutTarget, TargetState } from './rollout-types.ts';
import type { FileGrant, LockedNotification, UploadTicket } from './types.ts';

/** Files of devices, as doors see them. */
export interface Files {
  /**
   * Gives a device the signed URL under which it may write one file.
   * @throws HubError ArgumentInvalid, ArgumentNull, DeviceMaximumActiveFileUploadLimitExceeded, IotHubQuotaExceeded,
   *   IotHubUnauthorizedAccess, DeviceNotFound, ModuleNotFound, ThrottlingException
   */
  beginUpload(principal: Principal, key: IdentityKey, name: string): Promise<UploadTicket>;
  /**
   * The device says that its upload has ended. Back ends hear of one that succeeded; saying it again changes nothing.
   * @throws HubError InvalidFileUploadCorrelationId, InvalidStorageEndpointOrBlob when nothing was uploaded
   */
  endUpload(principal: Principal, key: IdentityKey, correlationId: string, isSuccess: boolean): Promise<void>;

  /** Locks the oldest notification; undefined: none waits, and `watchNotifications` tells when to ask again. */
  takeNotification(principal: Principal): Promise<LockedNotification | undefined>;
  /** False: the lock is gone. */
  settleNotification(principal: Principal, lockToken: string, settlement: 'complete' | 'abandon'): Promise<boolean>;
  watchNotifications(listener: () => void): () => void;
}

/** What a signed URL opens. */
export interface Blobs {
  /**
   * @param path below the container, decoded
   * @throws BlobError AuthenticationFailed
   */
  blob(path: string, query: URLSearchParams): Promise<Blob>;
}

/** Whose part of the container: an identity's, or the one that belongs to no device. */
export type FileOwner = IdentityKey | 'hub';

export interface Page {
  readonly after?: string;
  readonly limit: number;
}

export interface GrantAnswer {
  readonly key: IdentityKey;
  /** Undefined: `error` says why not. */
  readonly grant?: { readonly id: string; readonly url: string; readonly expiresAt: number };
  readonly error?: 'DeviceNotFound' | 'IotHubQuotaExceeded';
}

/** Files of back ends and devices, as doors see them. */
export interface Downloads {
  /** @throws HubError ArgumentInvalid, DeviceNotFound, ModuleNotFound, IotHubQuotaExceeded, PreconditionFailed, MessageTooLarge */
  put(
    principal: Principal,
    owner: FileOwner,
    name: string,
    content: Content,
    facts: ContentFacts,
  ): Promise<ObjectFacts>;
  /** @throws HubError FileNotFound, InvalidRange */
  read(principal: Principal, owner: FileOwner, name: string, choose: ChooseRange): Promise<OpenPart>;
  list(principal: Principal, owner: FileOwner, page: Page): Promise<readonly ListedObject[]>;
  /** @throws HubError FileNotFound, PreconditionFailed */
  remove(principal: Principal, owner: FileOwner, name: string, condition: Condition): Promise<void>;

  /**
   * Lets devices fetch a file of the hub's part until `expiresAt` (UTC milliseconds), by its name and by the URL in the answer.
   * @throws HubError FileNotFound, ArgumentInvalid
   */
  grant(
    principal: Principal,
    name: string,
    keys: readonly IdentityKey[],
    expiresAt: number,
  ): Promise<readonly GrantAnswer[]>;
  /** Grants with their receipts, newest first. */
  grants(principal: Principal, of: GrantFilter | { readonly name: string }, page: Page): Promise<readonly FileGrant[]>;
  /** @throws HubError FileNotFound */
  revoke(principal: Principal, id: string): Promise<void>;

  /** A device fetches a file that it was granted, or one of its own. @throws HubError FileNotFound, InvalidRange */
  fetch(principal: Principal, key: IdentityKey, name: string, choose: ChooseRange): Promise<OpenPart>;
}

/** Rollouts, as doors see them. */
export interface Rollouts {
  /**
   * Begins one. @throws HubError FileNotFound, ArgumentInvalid, IotHubQuotaExceeded (as many run as may)
   */
  start(principal: Principal, name: string, keys: readonly IdentityKey[], plan: RolloutPlan): Promise<Rollout>;
  /** @throws HubError FileNotFound */
  get(principal: Principal, id: string): Promise<Rollout>;
  list(principal: Principal, page: Page): Promise<readonly Rollout[]>;
  targets(
    principal: Principal,
    id: string,
    of: { state?: TargetState; after?: number; limit: number },
  ): Promise<readonly RolloutTarget[]>;
  /** No further wave begins; devices that were told may still fetch. @throws HubError FileNotFound */
  stop(principal: Principal, id: string): Promise<Rollout>;
}
