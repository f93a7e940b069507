/**
 * What requests that have proved whose they are may have in hand at a time: their number, so that one key does not fill
 * the queues behind the door, and the bytes of bodies that have not been worked off. Devices and back ends have each their
 * own, because a back end speaks for many; so have requests whose answer waits for a device, for minutes perhaps, so that the
 * others of the same caller go on meanwhile.
 */
import { limits } from '../../base/limits.ts';
import { Shares } from '../../base/shares.ts';
import { Turns } from '../../base/turns.ts';
import { HubError } from '../../core/errors.ts';
import { isPolicyShare, shareName } from '../../core/identity/share-name.ts';
import type { Principal } from '../../core/identity/types.ts';
import type { ApiRoute } from './route.ts';

/** What one request has taken. */
export interface RequestShare {
  /** Takes memory for its body. @throws HubError ThrottlingException */
  takeBytes(bytes: number): void;
  /** As `Turns.take`: a body of so many bytes is to be taken apart. */
  turn(bytes: number): Promise<void> | undefined;
  /** The request has been answered, or has broken off. Calling it again is harmless. */
  end(): void;
}

interface Pool {
  readonly requests: Shares;
  readonly bytes: Shares;
}

const poolOf = (
  requestsPerKeyMax: number,
  bytesPerKeyMax: number,
  requestsMax: number = limits.httpRequestsMax,
): Pool => ({
  requests: new Shares({ max: requestsMax, perKeyMax: requestsPerKeyMax }),
  bytes: new Shares({
    max: limits.httpBodiesBytesMax,
    perKeyMax: bytesPerKeyMax,
    reserve: limits.httpBodiesBytesMax / 4,
    reservedPerKey: limits.requestBytesMax,
  }),
});

export class RequestShares {
  /** One body of a MiB takes ten milliseconds and more, and many callers may have theirs complete in one turn. */
  readonly #turns = new Turns(() => limits.httpBodyBytesPerTurn);
  readonly #devices = poolOf(limits.httpRequestsPerDeviceMax, limits.httpBodiesBytesPerDeviceMax);
  readonly #policies = poolOf(limits.httpRequestsPerPolicyMax, limits.httpBodiesBytesPerPolicyMax);

  readonly #waiting = poolOf(limits.methodsPerPolicyMax, limits.httpBodiesBytesPerPolicyMax, limits.methodsMax);
  readonly #live = poolOf(limits.liveQueriesPerPolicyMax, limits.httpBodiesBytesPerPolicyMax, limits.liveQueriesMax);

  /** @param kind `waits` and `isLive` of the route @throws HubError ThrottlingException */
  begin(principal: Principal, { waits, isLive }: Pick<ApiRoute, 'waits' | 'isLive'> = {}): RequestShare {
    const name = shareName(principal);
    const ofPolicies = waits ? this.#waiting : isLive ? this.#live : this.#policies;
    const { requests, bytes } = isPolicyShare(name) ? ofPolicies : this.#devices;
    if (!requests.take(name)) throw tooMuch('requests');
    let taken = 0;
    let hasEnded = false;
    return {
      takeBytes(more) {
        if (hasEnded) return;
        if (!bytes.take(name, more)) throw tooMuch('bodies');
        taken += more;
      },
      turn: (bytes) => this.#turns.take(name, bytes),
      end() {
        if (hasEnded) return;
        hasEnded = true;
        requests.give(name);
        if (taken > 0) bytes.give(name, taken);
      },
    };
  }
}

function tooMuch(what: 'requests' | 'bodies'): HubError {
  const text = what === 'requests' ? 'Too many requests of this caller are in hand.' : 'Too many bodies are in hand.';
  return new HubError('ThrottlingException', text);
}
