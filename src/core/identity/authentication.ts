import type { Credential, DevicePrincipal, IdentityKey, PolicyPrincipal, Principal } from './types.ts';

/**
 * Decides who a peer is. Every refusal is the same `IotHubUnauthorized` and takes the same work (design section 7); its
 * `reason` holds the `AuthenticationCheck` that failed, for the log only.
 */
export interface Authentication {
  /** A device or module proves to be `key`: by a token of its own key, of a policy with DeviceConnect, or a certificate. */
  device(key: IdentityKey, credential: Credential | undefined): Promise<DevicePrincipal>;
  /**
   * A token by itself, as CBS and HTTP carry it: with `skn` a policy's, else that of the identity its `sr` names.
   * `audience` is the resource the peer wants to use it for (any of the forms of service reference 1.3), where the
   * protocol states one; the token's `sr` must be a prefix of it by whole segments.
   */
  token(token: string, audience?: string): Promise<Principal>;
  /** SASL PLAIN to the event endpoint: a policy's name and its key as it stands (service reference 1.2). */
  policyKey(policyName: string, key: string): Promise<PolicyPrincipal>;
}
