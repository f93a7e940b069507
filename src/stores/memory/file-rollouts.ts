import type { Rollout, RolloutRecords, RolloutTarget } from '../../core/files/rollout-types.ts';

type Kept = Omit<Rollout, 'counts'>;

/** Rollouts in memory. */
export function createMemoryRollouts(): RolloutRecords {
  /** In the order of creation. */
  const kept = new Map<string, { rollout: Kept; readonly targets: RolloutTarget[] }>();
  const shown = ({ rollout, targets }: { rollout: Kept; readonly targets: RolloutTarget[] }): Rollout => {
    const counts = { waiting: 0, told: 0, fetched: 0, failed: 0 };
    for (const { state } of targets) counts[state] += 1;
    return { ...rollout, counts };
  };
  const all = (): Rollout[] => [...kept.values()].map(shown);

  return {
    async create(rollout, keys, runningMax) {
      if (all().filter(({ state }) => state === 'running').length >= runningMax) return 'full';
      const targets = keys.map(
        (key, position): RolloutTarget => ({ position, key, state: 'waiting', grantId: '', time: 0, reason: '' }),
      );
      kept.set(rollout.id, { rollout, targets });
      return 'created';
    },
    async find(id) {
      const found = kept.get(id);
      return found && shown(found);
    },
    async list({ after, limit }) {
      const newest = all().reverse();
      const from = after === undefined ? 0 : newest.findIndex(({ id }) => id === after) + 1;
      return newest.slice(from, from + limit);
    },
    running: async () => all().filter(({ state }) => state === 'running'),
    targets: async (id, { state, after = -1, limit }) =>
      (kept.get(id)?.targets ?? [])
        .filter((target) => target.position > after && (state === undefined || target.state === state))
        .slice(0, limit),
    async settle(id, changes) {
      const targets = kept.get(id)?.targets ?? [];
      for (const change of changes) targets[change.position] = { ...targets[change.position], ...change };
    },
    async advance(id, change) {
      const found = kept.get(id);
      if (found?.rollout.state !== 'running') return false;
      found.rollout = { ...found.rollout, ...change };
      return true;
    },
    async sweep(before, count) {
      const over = all()
        .filter(({ state, createdTime }) => state !== 'running' && createdTime < before)
        .slice(0, count);
      for (const { id } of over) kept.delete(id);
      return over.length;
    },
  };
}
