import { limits } from '../../base/limits.ts';
import type { RefusalDelays } from '../../core/throttling/slow-refusals.ts';
import type { ThreadLink } from './calls.ts';

type Failure = Parameters<RefusalDelays['failed']>;

const SERVICE = 'refusalDelays';
const NOTE = 'refused';

/** Counts a thread's failed logins together with all others of the hub. */
export function serveRefusalDelays(link: ThreadLink, delays: RefusalDelays): void {
  link.serve(SERVICE, { failed: async (...failure: Failure) => delays.failed(...failure) });
  link.on(NOTE, (failure: Failure) => void delays.failed(...failure));
}

/**
 * The count as a thread sees it: a call for each login that has failed, none for one that succeeds. A crowd is counted as
 * well, and held to the longest delay without asking: it must not keep calls of others from the link.
 */
export function refusalDelaysStandIn(link: ThreadLink): RefusalDelays {
  const remote = link.remote<{ failed(...failure: Failure): Promise<number> }>(SERVICE, { failed: true });
  let asking = 0;
  /** What a crowd is told: 0 as long as nothing is delayed, so also where delays are off. */
  let longestMs = 0;
  return {
    async failed(...failure) {
      if (asking >= limits.slowRefusalsMax) {
        link.tell(NOTE, failure);
        return longestMs;
      }
      asking++;
      try {
        const delayMs = await remote.failed(...failure);
        longestMs = Math.max(longestMs, delayMs);
        return delayMs;
      } catch {
        // The hub is ending, and its connections with it.
        return 0;
      } finally {
        asking--;
      }
    },
  };
}
