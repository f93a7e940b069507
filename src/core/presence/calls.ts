import type { Guard, Guarded, Sheet } from '../identity/guard.ts';
import type { DevicePrincipal, Principal } from '../identity/types.ts';
import type { Presence, PresenceTicket, Subscription, SubscriptionStore } from './ports.ts';
import type { ConnectionClaim } from './types.ts';

/** How a device's connection gets the place of its identity, as doors see it. */
export interface Admission {
  /** As `Presence.claim`. */
  claim(principal: Principal, claim: ConnectionClaim): Promise<PresenceTicket>;
}

/** MQTT session state as doors see it: as `SubscriptionStore`, always of the identity and generation that were proved. */
export interface Subscriptions {
  load(principal: DevicePrincipal): Promise<readonly Subscription[] | undefined>;
  save(principal: DevicePrincipal, subscriptions: readonly Subscription[]): Promise<void>;
  remove(principal: DevicePrincipal): Promise<void>;
}

const admissionCalls: Sheet<Admission> = {
  claim: (room, guard) => (principal, claim) => {
    const { key, protocol, credential, peer } = claim;
    return guard.run(principal, 'connect', key, () => room.claim(principal, claim), { protocol, credential, peer });
  },
};

const subscriptionCalls: Sheet<Subscriptions> = {
  load: (room, guard) => (principal) =>
    guard.run(principal, 'subscriptions.read', principal.key, () => room.load(principal)),
  save: (room, guard) => (principal, subscriptions) =>
    guard.run(principal, 'subscriptions.write', principal.key, () => room.save(principal, subscriptions)),
  remove: (room, guard) => (principal) =>
    guard.run(principal, 'subscriptions.write', principal.key, () => room.remove(principal)),
};

export function createAdmission(guard: Guard, presence: Pick<Presence, 'claim'>): Guarded<Admission> {
  return guard.room({ claim: (_principal, claim) => presence.claim(claim) }, admissionCalls);
}

export function createSubscriptions(guard: Guard, store: SubscriptionStore): Guarded<Subscriptions> {
  return guard.room(
    {
      load: ({ key, generationId }) => store.load(key, generationId),
      save: ({ key, generationId }, subscriptions) => store.save(key, generationId, subscriptions),
      remove: ({ key }) => store.remove(key),
    },
    subscriptionCalls,
  );
}
