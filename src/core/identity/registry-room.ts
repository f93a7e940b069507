/** The identity registry, as doors see it. How each call is asked for: `registry-calls.ts`. */
import type { HubError } from '../errors.ts';
import type { TwinChange } from '../twins/types.ts';
import type { AuthenticationType, Identity, IdentityKey, IdentityStatus, PresenceState, Principal } from './types.ts';

/** The identity registry as doors see it. Every operation refuses a principal that may not do it. */
export interface Registry {
  /** @throws HubError DeviceNotFound, ModuleNotFound */
  get(principal: Principal, key: IdentityKey): Promise<IdentityView>;
  /** Devices in order of id; `top` outside 1 to 1000 counts as 1000. */
  list(principal: Principal, top?: number): Promise<readonly IdentityView[]>;
  listModules(principal: Principal, deviceId: string): Promise<readonly IdentityView[]>;
  /**
   * Creates without `ifMatch`, replaces with it (`*` or an ETag, quotes and `W/` already removed).
   * @throws HubError DeviceAlreadyExists, PreconditionFailed, DeviceNotFound, ArgumentInvalid, TooManyDevices …
   */
  put(principal: Principal, draft: IdentityDraft, ifMatch?: string): Promise<IdentityView>;
  /** Absent `ifMatch` counts as `*`. */
  delete(principal: Principal, key: IdentityKey, ifMatch?: string): Promise<void>;
  bulk(principal: Principal, items: readonly BulkItem[]): Promise<BulkResult>;
  /**
   * Makes new keys for each of up to `bulkIdentitiesMax` identities; each stands for itself.
   * @throws HubError ArgumentInvalid, DeviceDefinedMultipleTimes
   */
  regenerateKeys(
    principal: Principal,
    which: WhichKeys,
    keys: readonly IdentityKey[],
  ): Promise<readonly (Identity | HubError)[]>;
  /**
   * What the runtime of an edge device may know, its keys included: the device, its children in order of id, the modules of each.
   * @param edgeHub the module `$edgeHub`, which must have proved itself by what is its own
   * @param behalf an edge device below it, whose children are meant; absent = its own
   * @throws HubError IotHubUnauthorizedAccess
   */
  listInScope(principal: Principal, edgeHub: IdentityKey, page: ScopePage, behalf?: string): Promise<InScope>;
  /**
   * The same of one device, wherever it is below, and the module of it that is named.
   * @throws HubError DeviceNotFound, ModuleNotFound
   */
  getInScope(principal: Principal, edgeHub: IdentityKey, target: IdentityKey, behalf?: string): Promise<InScope>;
  /**
   * What a device proves itself by over TLS or DTLS with pre-shared keys: 32 bytes, derived from its primary key, which they do not lead
   * back to. Undefined = there is no such identity, it may not connect, or it has no key.
   */
  deriveSharedKey(principal: Principal, key: IdentityKey): Promise<Uint8Array | undefined>;
  statistics(principal: Principal): Promise<RegistryStatistics>;
  /** Which enabled devices have done nothing since `time` (UTC milliseconds); as many of them as `top` says by name. */
  unseenSince(principal: Principal, time: number, top: number): Promise<UnseenDevices>;
}

export interface ScopePage {
  /** Id of the last child of the page before. */
  readonly after?: string;
  readonly limit: number;
}

export interface InScope {
  readonly devices: readonly IdentityView[];
  readonly modules: readonly IdentityView[];
  /** `after` of the next page; absent on the last one. */
  readonly next?: string;
}

export interface UnseenDevices {
  /** Enabled devices in all. */
  readonly devices: number;
  readonly unseen: number;
  /** In order of id. */
  readonly deviceIds: readonly string[];
}

/** An identity with what other rooms know of it. */
export interface IdentityView extends Identity, PresenceState {
  readonly cloudToDeviceMessageCount: number;
}

/**
 * What a back end wants an identity to be. Absent = default; empty keys = to be generated (service reference 2.3). A
 * replacement without any `authentication` keeps the stored one.
 */
export interface IdentityDraft extends IdentityKey {
  readonly status?: IdentityStatus;
  readonly statusReason?: string | null;
  readonly authentication?: {
    readonly type?: AuthenticationType;
    readonly symmetricKey?: { readonly primaryKey?: string | null; readonly secondaryKey?: string | null } | null;
    readonly x509Thumbprint?: {
      readonly primaryThumbprint?: string | null;
      readonly secondaryThumbprint?: string | null;
    } | null;
  };
  readonly capabilities?: { readonly iotEdge?: boolean };
  readonly deviceScope?: string | null;
  readonly parentScopes?: readonly string[];
  readonly managedBy?: string | null;
}

export type ImportMode =
  | 'create'
  | 'update'
  | 'updateIfMatchETag'
  | 'createOrUpdate'
  | 'createOrUpdateIfMatchETag'
  | 'delete'
  | 'deleteIfMatchETag'
  | 'updateTwin'
  | 'updateTwinIfMatchETag';

export interface BulkItem {
  readonly draft: IdentityDraft;
  readonly importMode: ImportMode;
  readonly etag?: string;
  /** To be merged into its twin, behind what is done with the identity; or why that cannot be. Absent = nothing. */
  readonly twin?: TwinChange | HubError;
  /** Which the twin must have. */
  readonly twinEtag?: string;
}

export interface BulkResult {
  readonly isSuccessful: boolean;
  readonly errors: readonly {
    readonly deviceId: string;
    readonly moduleId?: string;
    readonly errorCode: number;
    readonly errorStatus: string;
    /** The room of twins has refused it, and has told so. */
    readonly isTold?: true;
  }[];
  /** Identities that were created and whose twin could not be changed. */
  readonly withoutTwin: readonly { readonly deviceId: string; readonly reason: string }[];
}

export type WhichKeys = 'primaryKey' | 'secondaryKey' | 'both';

export interface RegistryStatistics {
  readonly totalDeviceCount: number;
  readonly enabledDeviceCount: number;
  readonly disabledDeviceCount: number;
  readonly connectedDeviceCount: number;
}
