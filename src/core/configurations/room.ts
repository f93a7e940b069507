import type { Principal } from '../identity/types.ts';
import type { ConfigurationContent, ConfigurationDraft, KeptConfiguration } from './types.ts';

/** Configurations as back ends see them. */
export interface Configurations {
  /** @throws HubError ConfigurationNotFound */
  get(principal: Principal, id: string): Promise<KeptConfiguration>;
  /** In order of id; `top` counts where it is less than there are. */
  list(principal: Principal, top?: number): Promise<readonly KeptConfiguration[]>;
  /**
   * Creates without `ifMatch`, changes with it (`*` or an unquoted ETag). What comes of it for the fleet comes later.
   * @throws HubError ConfigurationAlreadyExists, ConfigurationNotFound, PreconditionFailed, IotHubQuotaExceeded, ArgumentInvalid,
   * InvalidConfigurationTargetCondition, InvalidConfigurationCustomMetricsQuery, CannotModifyImmutableConfigurationContent
   */
  put(principal: Principal, draft: ConfigurationDraft, ifMatch?: string): Promise<KeptConfiguration>;
  /** Absent `ifMatch` counts as `*`. @throws HubError ConfigurationNotFound, PreconditionFailed */
  delete(principal: Principal, id: string, ifMatch?: string): Promise<void>;
  /** What is wrong with a target condition (null = nothing) and with queries of metrics, by name. */
  test(principal: Principal, queries: TestedQueries): Promise<TestedErrors>;
  /**
   * Sets content once on the modules of an edge device, and makes those that it does not have.
   * @throws HubError DeviceNotFound, ArgumentInvalid (it is no edge device), InvalidConfigurationContent,
   * ApplyConfigurationAlreadyInProgressOnDevice, TooManyModulesOnDevice
   */
  apply(principal: Principal, deviceId: string, content: ConfigurationContent): Promise<void>;
}

export interface TestedQueries {
  readonly targetCondition?: string;
  readonly metrics: { readonly [name: string]: string };
}

export interface TestedErrors {
  readonly targetCondition: string | null;
  readonly metrics: { readonly [name: string]: string };
}
