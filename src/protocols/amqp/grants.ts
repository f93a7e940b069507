import { limits } from '../../base/limits.ts';
import { HubError } from '../../core/errors.ts';
import { authorize, type HubPlace, type Operation } from '../../core/identity/permissions.ts';
import type { Principal } from '../../core/identity/types.ts';

/**
 * What a connection has proved to be: one principal per name for which it put a token (service reference 1.3), or the one
 * of SASL PLAIN. A new token of the same name takes the place of the old one.
 */
export class Grants {
  readonly #principals = new Map<string, Principal>();

  /** @throws HubError IotHubQuotaExceeded */
  add(name: string, principal: Principal): void {
    this.#principals.delete(name);
    if (this.#principals.size >= limits.amqpTokensMax) {
      throw new HubError('IotHubQuotaExceeded', `A connection may hold ${limits.amqpTokensMax} tokens.`);
    }
    this.#principals.set(name, principal);
  }

  /** UTC milliseconds of the first proof that ends; Infinity if none does. */
  get nextExpiry(): number {
    let next = Number.POSITIVE_INFINITY;
    for (const { expiresAt } of this.#principals.values()) next = Math.min(next, expiresAt);
    return next;
  }

  get isEmpty(): boolean {
    return this.#principals.size === 0;
  }

  /** Forgets what has ended by `now`. */
  expire(now: number): void {
    for (const [name, { expiresAt }] of this.#principals) if (expiresAt <= now) this.#principals.delete(name);
  }

  /**
   * The principal that may do `operation` to `place` (where it concerns one), the newest first.
   * @throws HubError IotHubUnauthorized if nobody has authenticated, IotHubUnauthorizedAccess if none of them may.
   */
  demand(operation: Operation, now: number, place?: HubPlace): Principal {
    let refusal: unknown = new HubError('IotHubUnauthorized', undefined, { reason: 'missing-credential' });
    for (const principal of [...this.#principals.values()].reverse()) {
      try {
        authorize(principal, operation, now, place);
        return principal;
      } catch (error) {
        refusal = error;
      }
    }
    throw refusal;
  }
}
