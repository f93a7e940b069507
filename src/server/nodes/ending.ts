/** Where it is not known from whom a place was taken: every other node ends what it has of the identity. */
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import { identityName } from '../../core/identity/permissions.ts';
import type { IdentityKey } from '../../core/identity/types.ts';
import type { Connections } from '../../core/presence/places.ts';
import type { Membership } from './membership.ts';

export interface EndingParts {
  readonly membership: Membership;
  /** Of all other nodes that live. */
  readonly others: () => readonly Connections[];
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * See `Neighbours.endElsewhere`. A node without a lease asks nobody: its devices may be at others by now, which is where they should be. If it
 * comes to have another id, what it has had under this one is cleared up by others.
 */
export async function endElsewhere(key: IdentityKey, { membership, others, clock, log }: EndingParts): Promise<void> {
  const { own } = membership;
  let isTold = false;
  while (membership.own === own && !membership.hasLeft) {
    try {
      if (membership.isValid) {
        await Promise.all(others().map((connections) => connections.end(key, 'taken-over')));
        return;
      }
    } catch (error) {
      if (!isTold)
        log.error({ identity: identityName(key), error }, 'a connection could not be ended; it is tried again');
      isTold = true;
    }
    await new Promise<void>((resolve) => void clock.after(limits.nodeRenewAgainMs, resolve));
  }
}
