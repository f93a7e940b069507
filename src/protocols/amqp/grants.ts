import { limits } from '../../base/limits.ts';
import { HubError } from '../../core/errors.ts';
import type { Guard } from '../../core/identity/guard.ts';
import type { Operation } from '../../core/identity/operations.ts';
import { type HubPlace, identityName } from '../../core/identity/permissions.ts';
import type { DevicePrincipal, IdentityKey, PolicyPrincipal, Principal } from '../../core/identity/types.ts';

interface Grant {
  readonly principal: PolicyPrincipal;
  /** The token that proved it: one of a policy may speak for devices that are named later. */
  readonly token: string | undefined;
}

/** Tokens of policies that are tried for one device, the newest first: each try costs a signature. */
const POLICY_TOKENS_TRIED_MAX = 4;

/**
 * What a connection has proved to be: one principal per device or module, whatever name its token was put for, and one per
 * name for which a policy's token was put (service reference 1.3), or the one of SASL PLAIN. A new token takes the place of the
 * old one.
 */
export class Grants {
  /** By the identity's name. */
  readonly #devices = new Map<string, DevicePrincipal>();
  /** By the name for which it was put. */
  readonly #policies = new Map<string, Grant>();

  /** @throws HubError IotHubQuotaExceeded */
  add(name: string, principal: Principal, token?: string): void {
    if (principal.kind === 'device') {
      const identity = identityName(principal.key);
      this.#devices.delete(identity);
      this.#checkRoom(this.#devices.size, limits.amqpTokensMax);
      this.#devices.set(identity, principal);
    } else {
      this.#policies.delete(name);
      this.#checkRoom(this.#policies.size, limits.amqpPolicyTokensMax);
      this.#policies.set(name, { principal, token });
    }
  }

  /** UTC milliseconds of the first proof that ends; Infinity if none does. */
  get nextExpiry(): number {
    let next = Number.POSITIVE_INFINITY;
    for (const { expiresAt } of this.#devices.values()) next = Math.min(next, expiresAt);
    for (const { principal } of this.#policies.values()) next = Math.min(next, principal.expiresAt);
    return next;
  }

  get isEmpty(): boolean {
    return this.#devices.size + this.#policies.size === 0;
  }

  /** Forgets what has ended by `now`. */
  expire(now: number): void {
    for (const [name, { expiresAt }] of this.#devices) if (expiresAt <= now) this.#devices.delete(name);
    for (const [name, { principal }] of this.#policies) if (principal.expiresAt <= now) this.#policies.delete(name);
  }

  /**
   * The principal that may do `operation` to `place` (where it concerns one), the newest first. It is what back ends do: a
   * device is asked only where nobody else has proved anything, for the refusal.
   * @param isTold whether the monitoring stream hears of a refusal: not where it was asked for before
   * @throws HubError IotHubUnauthorized if nobody has authenticated, IotHubUnauthorizedAccess if none of them may.
   */
  demand(guard: Guard, operation: Operation, place?: HubPlace, isTold = true): Principal {
    const policies = this.#newestFirst().map(({ principal }) => principal);
    const devices = policies.length > 0 ? [] : [...this.#devices.values()].slice(-1);
    return guard.choose([...policies, ...devices], operation, place, isTold);
  }

  /** The identity's own proof, if it has given one. */
  device(key: IdentityKey): DevicePrincipal | undefined {
    return this.#devices.get(identityName(key));
  }

  /** Tokens of policies that may speak for devices, the newest first. */
  deviceTokens(): readonly string[] {
    return this.#newestFirst()
      .filter(({ principal }) => principal.permissions.has('DeviceConnect'))
      .map(({ token }) => token)
      .filter((token) => token !== undefined)
      .slice(0, POLICY_TOKENS_TRIED_MAX);
  }

  #newestFirst(): readonly Grant[] {
    return [...this.#policies.values()].reverse();
  }

  #checkRoom(count: number, max: number): void {
    if (count < max) return;
    throw new HubError('IotHubQuotaExceeded', `A connection may hold ${max} tokens of this kind.`);
  }
}
