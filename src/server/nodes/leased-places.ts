/** Places as a node takes them: under its lease alone. */
import { HubError } from '../../core/errors.ts';
import type { PlaceOutcome, Places } from '../../core/presence/places.ts';
import { watchedPlaces } from './comparing.ts';
import type { Membership } from './membership.ts';

/**
 * Without a lease no place is taken; one that was taken while it ended is given back, or is others' to clear up.
 * @param unsure called where it is not known what has become of a claim or a release
 */
export function leasedPlaces(places: Places, membership: Membership, unsure: () => void): Places {
  const watched = watchedPlaces(places, unsure);
  return {
    ...watched,
    async claim(claims) {
      const all = (kind: 'none' | 'unknown') => claims.map((): PlaceOutcome => ({ kind, error: withoutLease() }));
      if (!membership.isValid || membership.isDraining) return all('none');
      const { own } = membership;
      const outcomes = await watched.claim(claims);
      // Places under an older id are of a node that has gone: no other would find this one by them.
      if (membership.own !== own) return all('none');
      if (membership.isValid) return outcomes;
      unsure();
      return all('unknown');
    },
  };
}

export const withoutLease = (): HubError =>
  new HubError('ServiceUnavailable', undefined, { reason: 'this node has no lease at the moment' });
