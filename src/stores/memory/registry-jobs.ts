import type { IdentityStore } from '../../core/identity/ports.ts';
import type { Identity } from '../../core/identity/types.ts';
import { isOtherProcess } from '../../core/nodes/processes.ts';
import type { KeptErrors, RegistryJobStore, RegistryPages } from '../../core/registry-jobs/ports.ts';
import type { ExportRow, RegistryJob } from '../../core/registry-jobs/types.ts';
import type { TwinStore } from '../../core/twins/ports.ts';

interface Kept {
  job: RegistryJob;
  holder: string;
  heldUntil: number;
  errors: KeptErrors[];
}

/** Registry jobs in memory. */
export function createMemoryRegistryJobs(): RegistryJobStore {
  /** In the order of creation. */
  const kept = new Map<string, Kept>();
  const isOpen = ({ job }: Kept): boolean => job.endedTime === undefined;

  return {
    async create(job) {
      if ([...kept.values()].some(isOpen)) return 'busy';
      kept.set(job.id, { job, holder: '', heldUntil: 0, errors: [] });
      return 'created';
    },
    find: async (id) => kept.get(id)?.job,
    isOneOpen: async () => [...kept.values()].some(isOpen),
    list: async (limit) =>
      [...kept.values()]
        .map(({ job }) => job)
        .sort((a, b) => b.createdTime - a.createdTime || (a.id < b.id ? -1 : 1))
        .slice(0, limit),
    async claim(holder, leaseMs, now) {
      const found = [...kept.values()].find(isOpen);
      if (found === undefined) return undefined;
      const isOwn = found.holder === holder || isOtherProcess(holder, found.holder);
      if (!isOwn && found.heldUntil > now) return undefined;
      found.job = { ...found.job, state: 'running', startedTime: found.job.startedTime ?? now };
      [found.holder, found.heldUntil] = [holder, now + leaseMs];
      return found.job;
    },
    async advance(id, holder, { cursor, counts, errors }, leaseMs, now) {
      const found = kept.get(id);
      if (found?.job.state === 'cancelled') return 'cancelled';
      if (found?.job.state !== 'running' || found.holder !== holder) return 'lost';
      found.job = { ...found.job, cursor, counts };
      found.heldUntil = now + leaseMs;
      if (errors !== '') found.errors.push({ position: found.errors.length, text: errors });
      return 'kept';
    },
    async end(id, holder, { state, reason }, now) {
      const found = kept.get(id);
      if (found?.job.state !== 'running' || found.holder !== holder) return false;
      found.job = { ...found.job, state, reason, endedTime: now };
      [found.holder, found.heldUntil] = ['', 0];
      return true;
    },
    async cancel(id, now) {
      const found = kept.get(id);
      const state = found?.job.state;
      if (found !== undefined && isOpen(found)) found.job = { ...found.job, state: 'cancelled', endedTime: now };
      return state;
    },
    async release(id, holder) {
      const found = kept.get(id);
      if (found?.holder === holder) [found.holder, found.heldUntil] = ['', 0];
    },
    errors: async (id, after, limit) =>
      (kept.get(id)?.errors ?? []).filter(({ position }) => position > after).slice(0, limit),
    async sweep(before, count) {
      const ended = [...kept.values()].filter((each) => !isOpen(each));
      for (const each of ended) each.errors = [];
      const old = ended.filter(({ job }) => (job.endedTime ?? before) < before).slice(0, count);
      for (const { job } of old) kept.delete(job.id);
      return old.length;
    },
  };
}

/** Pages of a registry that is kept in memory. */
export function createMemoryRegistryPages(
  identities: Pick<IdentityStore, 'listDevices' | 'listModules'>,
  twins: Pick<TwinStore, 'load'>,
): RegistryPages {
  return {
    async page(after, limit) {
      const all: Identity[] = [];
      for (const device of await identities.listDevices({ limit: Number.MAX_SAFE_INTEGER })) {
        all.push(device, ...(await identities.listModules(device.deviceId)));
      }
      const isBehind = ({ deviceId, moduleId = '' }: Identity): boolean =>
        after === undefined ||
        deviceId > after.deviceId ||
        (deviceId === after.deviceId && moduleId > (after.moduleId ?? ''));
      const rows: ExportRow[] = [];
      for (const identity of all.filter(isBehind).slice(0, limit)) {
        const { deviceId, moduleId } = identity;
        const key = moduleId === undefined ? { deviceId } : { deviceId, moduleId };
        const kept = await twins.load(key, identity.generationId);
        if (kept !== undefined) rows.push({ identity, twin: kept.twin });
      }
      return rows;
    },
  };
}
