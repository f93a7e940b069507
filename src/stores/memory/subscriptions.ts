import { identityName } from '../../core/identity/permissions.ts';
import type { Subscription, SubscriptionStore } from '../../core/presence/ports.ts';

/** MQTT session state in memory. */
export function createMemorySubscriptionStore(): SubscriptionStore {
  const sessions = new Map<
    string,
    { readonly generationId: string; readonly subscriptions: readonly Subscription[] }
  >();
  return {
    async load(key, generationId) {
      const session = sessions.get(identityName(key));
      return session?.generationId === generationId ? session.subscriptions : undefined;
    },
    async save(key, generationId, subscriptions) {
      sessions.set(identityName(key), { generationId, subscriptions: [...subscriptions] });
    },
    async remove(key) {
      sessions.delete(identityName(key));
    },
  };
}
