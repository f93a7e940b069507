import type { Authority, Identity, IdentityKey, Policy } from './types.ts';

/**
 * Where identities are kept. All answers are of committed, durable state; each write is one atomic step, also against
 * other nodes. One contract suite (`stores/contract/identities.ts`) runs over every implementation.
 */
export interface IdentityStore {
  get(key: IdentityKey): Promise<Identity | undefined>;
  /** Devices in order of id, from behind `after`, at most `limit`. */
  listDevices(page: { readonly after?: string; readonly limit: number }): Promise<readonly Identity[]>;
  /** All modules of a device in order of id. */
  listModules(deviceId: string): Promise<readonly Identity[]>;
  /** Devices whose parent has this scope, in order of id, from behind `after`, at most `limit`. */
  listChildren(scope: string, page: { readonly after?: string; readonly limit: number }): Promise<readonly Identity[]>;
  counts(): Promise<IdentityCounts>;
  /**
   * Carries out the writes in order, each on its own: one that fails does not undo the others. All are durable when the
   * promise resolves. The answer has one outcome per write, in the same order. Calls that are not waited for keep their order per device;
   * tables that nodes share keep no other, so that a number of devices at its bound can be exceeded by those created in the same moment.
   */
  write(writes: readonly IdentityWrite[]): Promise<readonly IdentityWriteOutcome[]>;
  /**
   * Tells of every change made through this store object, that is by this node, after it is durable and before `write`
   * resolves. What other nodes write is told where the server passes it on (`isElsewhere`). The returned function ends it.
   */
  watchOwnWrites(listener: (change: IdentityChange) => void): () => void;
}

export interface IdentityCounts {
  readonly devices: number;
  readonly enabled: number;
  readonly disabled: number;
}

/** `ifMatch` is an unquoted ETag, or `*` for "whatever is there". */
export type IdentityWrite =
  | ({ readonly kind: 'create'; readonly identity: Identity; readonly countMax: number } & WithModules)
  | ({ readonly kind: 'replace'; readonly identity: Identity; readonly ifMatch: string } & WithModules)
  | { readonly kind: 'delete'; readonly key: IdentityKey; readonly ifMatch: string };

/** Modules that come with a device, in the same step; those that it has already stay as they are. */
interface WithModules {
  readonly modules?: readonly Identity[];
}

/**
 * `notFound` for a module also when its device is missing (`deviceNotFound` tells them apart); `full` when `countMax`
 * devices (or modules of the device) exist. Deleting a device deletes its modules. A replace keeps the stored
 * generation id, and the stored time of the last status change where the status stays.
 */
export type IdentityWriteOutcome =
  | { readonly kind: 'done'; readonly identity: Identity }
  | { readonly kind: 'exists' | 'notFound' | 'deviceNotFound' | 'etagMismatch' | 'full' };

export interface IdentityChange {
  readonly kind: 'created' | 'replaced' | 'deleted';
  /** The state after the change; for `deleted` the last one. */
  readonly identity: Identity;
  /** True when a replacement has enabled or disabled it. */
  readonly statusChanged?: boolean;
  /** Another node has written it, and does what is done once. */
  readonly isElsewhere?: true;
}

/** Where the hub's policies are kept. */
export interface PolicyStore {
  load(): Promise<readonly Policy[]>;
  /** Replaces all policies at once. */
  save(policies: readonly Policy[]): Promise<void>;
}

/**
 * Where the certificate authorities of devices are kept, and the intermediates that were met under them. One contract
 * suite (`stores/contract/authorities.ts`) runs over every implementation.
 */
export interface AuthorityStore {
  /** In order of name. */
  list(): Promise<readonly Authority[]>;
  /** `exists` for a name, and for a certificate, that is there already. */
  create(authority: Authority, countMax: number): Promise<'created' | 'exists' | 'full'>;
  /** `ifMatch` is an ETag, or `*`. */
  replace(authority: Authority, ifMatch: string): Promise<'replaced' | 'notFound' | 'etagMismatch'>;
  /** With the intermediates of the authority. */
  delete(name: string, ifMatch: string): Promise<'deleted' | 'notFound' | 'etagMismatch'>;
  /** The oldest first. */
  intermediates(): Promise<readonly KeptIntermediate[]>;
  /** Keeps at most `countMax`, the oldest leave first. Nothing happens when its authority is not there, or it is already. */
  keepIntermediate(intermediate: KeptIntermediate, countMax: number): Promise<void>;
  /** As `IdentityStore.watchOwnWrites`: changes of this node, after they are durable and before the writer hears of them. */
  watchOwnWrites(listener: (change: AuthorityChange) => void): () => void;
}

export interface AuthorityChange {
  readonly kind: 'created' | 'replaced' | 'deleted';
  /** The state after the change; for `deleted` the last one. */
  readonly authority: Authority;
  /** Another node has written it. */
  readonly isElsewhere?: true;
}

export interface KeptIntermediate {
  /** Thumbprint of the authority under which it stood. */
  readonly authority: string;
  readonly thumbprint: string;
  /** DER in base64. */
  readonly certificate: string;
}
