import type { IdentityKey, Principal } from '../identity/types.ts';
import type { MethodRequest, MethodResult } from './types.ts';

export interface Methods {
  /**
   * Asks the device and resolves with its answer.
   * @param signal Aborted when the caller does not wait any more
   * @throws HubError ArgumentInvalid, MessageTooLarge, DeviceNotFound, ModuleNotFound, DeviceNotOnline (never asked),
   *   DeviceConnectionClosedRemotely and GatewayTimeout (asked, and perhaps carried out), BadDeviceResponse,
   *   DeviceMaximumInflightMethodExceeded, ThrottlingException
   */
  invoke(principal: Principal, key: IdentityKey, request: MethodRequest, signal: AbortSignal): Promise<MethodResult>;
}
