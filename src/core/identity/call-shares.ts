/**
 * How many calls of the hub's rooms each device and each policy has under way, on whichever door: nearly all of them wait for the
 * tables, whose queue is one for everybody. A device that asks for more waits for its own calls, and is refused when too many of them
 * wait; a part of the queue is open only to those who have little under way.
 */
import { limits } from '../../base/limits.ts';
import { WorkShares } from '../../base/work-shares.ts';
import { HubError } from '../errors.ts';
import { isPolicyShare, shareName } from './share-name.ts';
import type { Principal } from './types.ts';

export class CallShares {
  readonly #shares = new WorkShares({
    max: limits.callsMax,
    perKeyMax: (share) => (isPolicyShare(share) ? limits.callsPerPolicyMax : limits.callsPerDeviceMax),
    reserve: limits.callsMax / 4,
    reservedPerKey: limits.callsReservedPerShare,
    waitingMax: (share) => (isPolicyShare(share) ? limits.callsWaitingPerPolicyMax : limits.callsWaitingPerDeviceMax),
  });

  /**
   * Does `work` when the principal has a place for it. @param again Asked when it had to wait for that: rights may have ended meanwhile
   * @throws HubError ThrottlingException, and what `again` and `work` throw
   */
  async run<Answer>(principal: Principal, work: () => Answer | Promise<Answer>, again?: () => void): Promise<Answer> {
    const share = shareName(principal);
    const waits = !this.#shares.take(share);
    if (waits) await (this.#shares.turn(share) ?? this.#refuse(share));
    try {
      if (waits) again?.();
      return await work();
    } finally {
      this.#shares.give(share);
    }
  }

  #refuse(share: string): never {
    const isPolicy = isPolicyShare(share);
    const name = isPolicy ? 'callsWaitingPerPolicyMax' : 'callsWaitingPerDeviceMax';
    const limit = { name, scope: share, current: this.#shares.waitingOf(share), max: limits[name] };
    throw new HubError('ThrottlingException', 'Too many requests of this caller wait already.', { limit });
  }
}
