import type { ConsumerGroup, ConsumerGroupStore } from '../../core/events/ports.ts';

/** Consumer groups in memory. */
export function createMemoryConsumerGroupStore(): ConsumerGroupStore {
  const hubs = new Map<string, Map<string, ConsumerGroup>>();
  return {
    async list(eventHub) {
      const groups = [...(hubs.get(eventHub) ?? [])];
      return groups.sort(([a], [b]) => (a < b ? -1 : 1)).map(([, group]) => group);
    },
    async create(eventHub, group, countMax) {
      const groups = hubs.get(eventHub) ?? new Map<string, ConsumerGroup>();
      const name = group.name.toLowerCase();
      if (groups.has(name)) return 'exists';
      if (groups.size >= countMax) return 'full';
      groups.set(name, group);
      hubs.set(eventHub, groups);
      return 'created';
    },
    delete: async (eventHub, name) => (hubs.get(eventHub)?.delete(name.toLowerCase()) ? 'deleted' : 'notFound'),
  };
}
