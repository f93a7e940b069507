import { limits } from '../../base/limits.ts';
import { HubError } from '../../core/errors.ts';
import type { Guard } from '../../core/identity/guard.ts';
import type { Operation } from '../../core/identity/operations.ts';
import { type HubPlace, sameIdentity } from '../../core/identity/permissions.ts';
import type { DevicePrincipal, IdentityKey, Principal } from '../../core/identity/types.ts';

interface Grant {
  readonly principal: Principal;
  /** The token that proved it: one of a policy may speak for devices that are named later. */
  readonly token: string | undefined;
}

/** Tokens of policies that are tried for one device, the newest first: each try costs a signature. */
const POLICY_TOKENS_TRIED_MAX = 4;

/**
 * What a connection has proved to be: one principal per name for which it put a token (service reference 1.3), or the one
 * of SASL PLAIN. A new token of the same name takes the place of the old one.
 */
export class Grants {
  readonly #grants = new Map<string, Grant>();

  /** @throws HubError IotHubQuotaExceeded */
  add(name: string, principal: Principal, token?: string): void {
    this.#grants.delete(name);
    if (this.#grants.size >= limits.amqpTokensMax) {
      throw new HubError('IotHubQuotaExceeded', `A connection may hold ${limits.amqpTokensMax} tokens.`);
    }
    this.#grants.set(name, { principal, token });
  }

  /** UTC milliseconds of the first proof that ends; Infinity if none does. */
  get nextExpiry(): number {
    let next = Number.POSITIVE_INFINITY;
    for (const { principal } of this.#grants.values()) next = Math.min(next, principal.expiresAt);
    return next;
  }

  get isEmpty(): boolean {
    return this.#grants.size === 0;
  }

  /** Forgets what has ended by `now`. */
  expire(now: number): void {
    for (const [name, { principal }] of this.#grants) if (principal.expiresAt <= now) this.#grants.delete(name);
  }

  /**
   * The principal that may do `operation` to `place` (where it concerns one), the newest first.
   * @param isTold whether the monitoring stream hears of a refusal: not where it was asked for before
   * @throws HubError IotHubUnauthorized if nobody has authenticated, IotHubUnauthorizedAccess if none of them may.
   */
  demand(guard: Guard, operation: Operation, place?: HubPlace, isTold = true): Principal {
    const principals = this.#newestFirst().map(({ principal }) => principal);
    return guard.choose(principals, operation, place, isTold);
  }

  /** The identity's own proof, if it has given one. */
  device(key: IdentityKey): DevicePrincipal | undefined {
    for (const { principal } of this.#newestFirst()) {
      if (principal.kind === 'device' && sameIdentity(principal.key, key)) return principal;
    }
    return undefined;
  }

  /** Tokens of policies that may speak for devices, the newest first. */
  deviceTokens(): readonly string[] {
    return this.#newestFirst()
      .filter(({ principal }) => principal.kind === 'policy' && principal.permissions.has('DeviceConnect'))
      .map(({ token }) => token)
      .filter((token) => token !== undefined)
      .slice(0, POLICY_TOKENS_TRIED_MAX);
  }

  #newestFirst(): readonly Grant[] {
    return [...this.#grants.values()].reverse();
  }
}
