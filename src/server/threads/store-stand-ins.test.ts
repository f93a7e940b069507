/** What stores promise, also on a listener thread: the contract suites over stand-ins, and none without an operation. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MessageChannel } from 'node:worker_threads';
import { systemClock } from '../../base/clock.ts';
import type { ConsumerGroupStore } from '../../core/events/ports.ts';
import type { AuthorityStore, IdentityStore } from '../../core/identity/ports.ts';
import type { SubscriptionStore } from '../../core/presence/ports.ts';
import { authorityStoreContract } from '../../stores/contract/authorities.ts';
import { consumerGroupStoreContract } from '../../stores/contract/consumer-groups.ts';
import { identityStoreContract } from '../../stores/contract/identities.ts';
import { subscriptionStoreContract } from '../../stores/contract/subscriptions.ts';
import { createMemoryAuthorityStore } from '../../stores/memory/authorities.ts';
import { createMemoryConsumerGroupStore } from '../../stores/memory/consumer-groups.ts';
import { createMemoryIdentityStore } from '../../stores/memory/identities.ts';
import { createMemorySubscriptionStore } from '../../stores/memory/subscriptions.ts';
import { type EveryCall, openThreadLink, type ThreadLink } from './calls.ts';
import { ChangeFeed, serveHearing, storeStandIn } from './change-feed.ts';
import {
  authorityCalls,
  consumerGroupCalls,
  identityCalls,
  type StoreCalls,
  subscriptionCalls,
} from './store-calls.ts';

/** A stand-in over a real port. */
async function opened<Store>(stand: (main: ThreadLink, thread: ThreadLink) => Store) {
  const channel = new MessageChannel();
  const store = stand(openThreadLink(channel.port1), openThreadLink(channel.port2));
  return { store, close: async () => channel.port1.close() };
}

identityStoreContract('identities of another thread', () =>
  opened((main, thread) => {
    const feed = new ChangeFeed(systemClock);
    feed.serve(main, { identities: feed.telling(createMemoryIdentityStore(), identityCalls) });
    serveHearing(thread);
    return storeStandIn<IdentityStore>(thread, 'identities', identityCalls);
  }),
);
authorityStoreContract('authorities of another thread', () =>
  opened((main, thread) => {
    const feed = new ChangeFeed(systemClock);
    feed.serve(main, { authorities: feed.telling(createMemoryAuthorityStore(), authorityCalls) });
    serveHearing(thread);
    return storeStandIn<AuthorityStore>(thread, 'authorities', authorityCalls);
  }),
);
consumerGroupStoreContract('consumer groups of another thread', () =>
  opened((main, thread) => {
    main.serve('consumerGroups', createMemoryConsumerGroupStore());
    return thread.remote<ConsumerGroupStore>('consumerGroups', consumerGroupCalls);
  }),
);
subscriptionStoreContract('subscriptions of another thread', () =>
  opened((main, thread) => {
    main.serve('subscriptions', createMemorySubscriptionStore());
    return thread.remote<SubscriptionStore>('subscriptions', subscriptionCalls);
  }),
);

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
  assert.ok([identities, subscriptions, consumerGroups].every((calls) => typeof calls === 'object'));
});
