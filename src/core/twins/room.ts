import type { ConfigurationStates } from '../configurations/types.ts';
import type { IdentityView } from '../identity/registry-room.ts';
import type { IdentityKey, Principal } from '../identity/types.ts';
import type { DesiredChanges } from './ports.ts';
import type { ReportedPatch, Twin, TwinChange } from './types.ts';

/** Twins as doors see them: documents for back ends, the own twin for a device or module. */
export interface Twins {
  /** @throws HubError DeviceNotFound, ModuleNotFound */
  get(principal: Principal, key: IdentityKey): Promise<TwinView>;
  /**
   * Carries out a change of tags and desired properties; the device is told of the latter if it is connected.
   * @param ifMatch An unquoted ETag or `*`; absent = `*`
   * @throws HubError DeviceNotFound, ModuleNotFound, PreconditionFailed, ArgumentInvalid
   */
  change(principal: Principal, key: IdentityKey, change: TwinChange, ifMatch?: string): Promise<TwinView>;
  /** The own twin as devices see it: JSON text. */
  readOwn(principal: Principal, key: IdentityKey): Promise<string>;
  /**
   * What a device reports; resolves with the version of its reported properties when that is durable.
   * @throws HubError PreconditionFailed, ArgumentInvalid
   */
  report(principal: Principal, key: IdentityKey, patch: ReportedPatch): Promise<number>;
  /** The model that the device names when it connects. */
  nameModel(principal: Principal, key: IdentityKey, modelId: string): Promise<void>;
  /** The version of the own desired properties. */
  ownVersion(principal: Principal, key: IdentityKey): Promise<number>;
  /** As `TwinStore.desiredSince`. */
  ownChanges(principal: Principal, key: IdentityKey, version: number, countMax: number): Promise<DesiredChanges>;
}

/** A twin with what the registry and presence know of its identity. */
export interface TwinView {
  readonly identity: IdentityView;
  readonly twin: Twin;
  readonly modelId: string;
  readonly configurations?: ConfigurationStates;
}
