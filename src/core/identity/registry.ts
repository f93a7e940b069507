import type { PresenceState } from '../presence/types.ts';
import type { AuthenticationType, Identity, IdentityKey, IdentityStatus, Principal } from './types.ts';

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
  statistics(principal: Principal): Promise<RegistryStatistics>;
}

/** An identity with what other rooms know of it. */
export interface IdentityView extends Identity, PresenceState {
  readonly cloudToDeviceMessageCount: number;
}

/** What a back end wants an identity to be. Absent = default; empty keys = to be generated (service reference 2.3). */
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
}

export interface BulkResult {
  readonly isSuccessful: boolean;
  readonly errors: readonly {
    readonly deviceId: string;
    readonly moduleId?: string;
    readonly errorCode: number;
    readonly errorStatus: string;
  }[];
}

export interface RegistryStatistics {
  readonly totalDeviceCount: number;
  readonly enabledDeviceCount: number;
  readonly disabledDeviceCount: number;
  readonly connectedDeviceCount: number;
}
