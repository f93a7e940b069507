/** What stores promise, also on a listener thread: the contract suites over stand-ins, and none without an operation. */
import assert from 'node:assert/strict';
import { duplexPair } from 'node:stream';
import { after, test } from 'node:test';
import { MessageChannel } from 'node:worker_threads';
import { systemClock } from '../../base/clock.ts';
import type { ConsumerGroupStore } from '../../core/events/ports.ts';
import type { AuthorityStore, IdentityStore } from '../../core/identity/ports.ts';
import type { Methods } from '../../core/methods/room.ts';
import type { Places } from '../../core/presence/places.ts';
import type { SubscriptionStore } from '../../core/presence/ports.ts';
import type { Twins } from '../../core/twins/room.ts';
import { authorityStoreContract } from '../../stores/contract/authorities.ts';
import { consumerGroupStoreContract } from '../../stores/contract/consumer-groups.ts';
import { identityStoreContract } from '../../stores/contract/identities.ts';
import { placesContract } from '../../stores/contract/places.ts';
import { subscriptionStoreContract } from '../../stores/contract/subscriptions.ts';
import { createMemoryAuthorityStore } from '../../stores/memory/authorities.ts';
import { createMemoryConsumerGroupStore } from '../../stores/memory/consumer-groups.ts';
import { createMemoryIdentityStore } from '../../stores/memory/identities.ts';
import { createMemoryPlaces } from '../../stores/memory/places.ts';
import { createMemorySubscriptionStore } from '../../stores/memory/subscriptions.ts';
import { type EveryCall, openThreadLink, type ThreadLink } from './calls.ts';
import { ChangeFeed, serveHearing, storeStandIn } from './change-feed.ts';
import { openSocketLink } from './socket-link.ts';
import {
  authorityCalls,
  consumerGroupCalls,
  identityCalls,
  type StoreCalls,
  subscriptionCalls,
  twinCalls,
} from './store-calls.ts';

/** Both forms of a link between members. */
const forms: Readonly<Record<string, () => { readonly sides: readonly [ThreadLink, ThreadLink]; close(): void }>> = {
  'another thread': () => {
    const { port1, port2 } = new MessageChannel();
    return { sides: [openThreadLink(port1), openThreadLink(port2)], close: () => port1.close() };
  },
  'another node': () => {
    const [one, other] = duplexPair();
    return { sides: [openSocketLink(one), openSocketLink(other)], close: () => void one.destroy() };
  },
};

for (const [where, links] of Object.entries(forms)) {
  const opened = async <Store>(stand: (main: ThreadLink, thread: ThreadLink) => Store) => {
    const { sides, close } = links();
    return { store: stand(...sides), close: async () => close() };
  };
  identityStoreContract(`identities of ${where}`, () =>
    opened((main, thread) => {
      const feed = new ChangeFeed(systemClock);
      feed.serve(main, { identities: feed.telling(createMemoryIdentityStore(), identityCalls) });
      serveHearing(thread);
      return storeStandIn<IdentityStore>(thread, 'identities', identityCalls);
    }),
  );
  authorityStoreContract(`authorities of ${where}`, () =>
    opened((main, thread) => {
      const feed = new ChangeFeed(systemClock);
      feed.serve(main, { authorities: feed.telling(createMemoryAuthorityStore(), authorityCalls) });
      serveHearing(thread);
      return storeStandIn<AuthorityStore>(thread, 'authorities', authorityCalls);
    }),
  );
  consumerGroupStoreContract(`consumer groups of ${where}`, () =>
    opened((main, thread) => {
      main.serve('consumerGroups', createMemoryConsumerGroupStore());
      return thread.remote<ConsumerGroupStore>('consumerGroups', consumerGroupCalls);
    }),
  );
  subscriptionStoreContract(`subscriptions of ${where}`, () =>
    opened((main, thread) => {
      main.serve('subscriptions', createMemorySubscriptionStore());
      return thread.remote<SubscriptionStore>('subscriptions', subscriptionCalls);
    }),
  );
  const ends: (() => void)[] = [];
  after(() => {
    for (const end of ends) end();
  });
  placesContract(`places of ${where}`, async (objections) => {
    const { sides, close } = links();
    ends.push(close);
    sides[0].serve(
      'places',
      createMemoryPlaces((claim) => objections.of(claim)),
    );
    return sides[1].remote<Places>('places', placeCalls);
  });
}

const placeCalls: EveryCall<Places> = {
  ...{ claim: true, release: true, find: true, of: true, connectedDevices: true, leave: true },
};

test('a stand-in that lacks an operation does not compile', () => {
  // @ts-expect-error: `counts` is left out
  const identities: StoreCalls<IdentityStore> = {
    get: 'read',
    listDevices: 'read',
    listModules: 'read',
    listChildren: 'read',
    write: 'write',
  };
  // @ts-expect-error: `remove` is left out
  const subscriptions: EveryCall<SubscriptionStore> = { load: true, save: true };
  // @ts-expect-error: there is no such operation
  const consumerGroups: EveryCall<ConsumerGroupStore> = { ...consumerGroupCalls, rename: true };
  // @ts-expect-error: `leave` is left out
  const places: EveryCall<Places> = { claim: true, release: true, find: true, connectedDevices: true };
  // @ts-expect-error: `intermediates` is neither a read nor a write
  const authorities: StoreCalls<AuthorityStore> = { ...authorityCalls, intermediates: true };
  const { nameModel: _, ...rest } = twinCalls;
  // @ts-expect-error: `nameModel` is left out
  const twins: EveryCall<Twins> = rest;
  // @ts-expect-error: `invoke` is left out
  const methods: EveryCall<Methods> = {};
  assert.ok(
    [identities, subscriptions, consumerGroups, places, authorities, twins, methods].every(
      (calls) => typeof calls === 'object',
    ),
  );
});
