/**
 * Failed authentication is answered late, and later each time: per address and per identity, so that neither many names
 * from one place nor one name from many places are tried quickly. Only refusals wait. A client that proves who it is goes in
 * at once, also under a name that others have failed with: nobody can be locked out by a stranger elsewhere. An address
 * whose own refusals fill its places (`attempts.ts`) is not judged further: it is told to come again later.
 */
import { addressShare } from '../../base/address.ts';
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { ownText } from '../../base/text.ts';
import { HubError } from '../errors.ts';
import type { Authentication } from '../identity/authentication.ts';
import { identityName } from '../identity/permissions.ts';
import { identityOf, parseResource } from '../identity/resource.ts';
import { parseSasToken, percentDecoded } from '../identity/sas-token.ts';
import { Attempts } from './attempts.ts';

/** Who has failed how often: one per node, for all of its doors and threads. */
export interface RefusalDelays {
  /**
   * Counts a failure. Only a client that has failed asks: one that proves who it is needs no answer from here.
   * @param peer address; undefined = not known
   * @param name identity or policy that the peer claimed to be; undefined = none
   * @returns milliseconds after which the failure is to be answered
   */
  failed(peer: string | undefined, name: string | undefined): number | Promise<number>;
}

/** @param delayMsMax the longest wait; 0 = refusals are answered at once. */
export function createRefusalDelays(clock: Clock, delayMsMax: number): RefusalDelays {
  if (delayMsMax === 0) return { failed: () => 0 };
  const addresses = new FailureTable(clock, delayMsMax);
  const names = new FailureTable(clock, delayMsMax);
  return {
    failed: (peer, name) =>
      Math.max(
        peer === undefined ? 0 : addresses.failed(addressShare(peer)),
        name === undefined ? 0 : names.failed(name.slice(0, 2 * limits.identityIdCharsMax + 1)),
      ),
  };
}

/** @param dropped hears of the address of each attempt that was not judged, and of the name that it claimed. */
export function slowRefusals(
  inner: Authentication,
  clock: Clock,
  delays: RefusalDelays,
  dropped: (peer: string, name: string | undefined) => void = () => {},
): Authentication {
  const attempts = new Attempts(clock);
  let waiting = 0;

  const wait = async (delayMs: number): Promise<void> => {
    // Waiting costs memory. Who finds none left is answered; its address goes on to be held to the delay.
    if (delayMs <= 0 || waiting >= limits.slowRefusalsMax) return;
    waiting++;
    await new Promise<void>((resolve) => clock.after(delayMs, resolve));
    waiting--;
  };
  /** @param claimed whom the peer claims to be: asked for only when it is refused */
  const guarded = async <T>(judge: () => Promise<T>, claimed: () => string | undefined, peer?: string): Promise<T> => {
    if (peer !== undefined && !(await attempts.begin(peer))) {
      dropped(peer, claimed());
      throw new HubError('ThrottlingException', 'Too many attempts of this address have failed.', {
        reason: 'not-judged',
      });
    }
    let delayMs = 0;
    try {
      return await judge();
    } catch (error) {
      if (!(error instanceof HubError) || error.code !== 'IotHubUnauthorized') throw error;
      const counted = delays.failed(peer, claimed());
      delayMs = typeof counted === 'number' ? counted : await counted;
      throw error;
    } finally {
      if (peer !== undefined) attempts.end(peer, delayMs);
      await wait(delayMs);
    }
  };
  return {
    device: (key, credential, peer) =>
      guarded(
        () => inner.device(key, credential, peer),
        () => `device ${identityName(key)}`,
        peer,
      ),
    token: (token, audience, peer) =>
      guarded(
        () => inner.token(token, audience, peer),
        () => claimedBy(token),
        peer,
      ),
    // Who asks has proved a policy: nothing is guessed.
    spokenFor: (policy, key) => inner.spokenFor(policy, key),
    policyKey: (policyName, key, peer) =>
      guarded(
        () => inner.policyKey(policyName, key, peer),
        () => `policy ${policyName}`,
        peer,
      ),
  };
}

/** Whom a token says it is of. */
function claimedBy(text: string | undefined): string | undefined {
  const token = text === undefined ? undefined : parseSasToken(text);
  if (token === undefined) return undefined;
  if (token.policyName !== undefined) return `policy ${token.policyName}`;
  const key = identityOf(parseResource(percentDecoded(token.resource) ?? token.resource).path);
  return key && `device ${identityName(key)}`;
}

interface Failures {
  count: number;
  /** Monotonic milliseconds of the last one. */
  at: number;
}

/** Recent failures by name. Bounded: the longest quiet are forgotten first. */
class FailureTable {
  readonly #clock: Clock;
  readonly #delayMsMax: number;
  readonly #failures = new Map<string, Failures>();

  constructor(clock: Clock, delayMsMax: number) {
    this.#clock = clock;
    this.#delayMsMax = delayMsMax;
  }

  /** Counts a failure. @returns milliseconds after which it is to be answered. */
  failed(name: string): number {
    const now = this.#clock.monotonic();
    const { count, at } = this.#failures.get(name) ?? { count: 0, at: now };
    const forgiven = (now - at) / limits.failureForgivenMs;
    const next = Math.max(0, count - forgiven) + 1;
    this.#failures.delete(name);
    for (const oldest of this.#failures.keys()) {
      if (this.#failures.size < limits.failuresRememberedMax) break;
      this.#failures.delete(oldest);
    }
    // Thousands of names are remembered: not the request that each was cut out of.
    this.#failures.set(ownText(name), { count: next, at: now });
    const beyond = Math.ceil(next) - limits.failuresAtOnceMax;
    return beyond <= 0 ? 0 : Math.min(this.#delayMsMax, limits.refusalDelayMs * 2 ** (beyond - 1));
  }
}
