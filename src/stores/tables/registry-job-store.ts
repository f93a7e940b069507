import type { RegistryJobStore, RegistryPages } from '../../core/registry-jobs/ports.ts';
import type { TableCaller } from './caller.ts';
import { twinOf } from './twin-text.ts';

export function tableRegistryJobs(tables: TableCaller): RegistryJobStore {
  return {
    create: (job) => tables.call('registryJobs.create', job),
    find: (id) => tables.call('registryJobs.find', id),
    isOneOpen: () => tables.call('registryJobs.isOneOpen'),
    list: (limit) => tables.call('registryJobs.list', limit),
    claim: (holder, leaseMs, now) => tables.call('registryJobs.claim', holder, leaseMs, now),
    advance: (id, holder, step, leaseMs, now) => tables.call('registryJobs.advance', id, holder, step, leaseMs, now),
    end: (id, holder, end, now) => tables.call('registryJobs.end', id, holder, end, now),
    cancel: (id, now) => tables.call('registryJobs.cancel', id, now),
    release: (id, holder) => tables.call('registryJobs.release', id, holder),
    errors: (id, after, limit) => tables.call('registryJobs.errors', id, after, limit),
    sweep: (before, count) => tables.call('registryJobs.sweep', before, count),
  };
}

/** Documents are put together by the reader, not on the thread of the tables. */
export function tableRegistryPages(tables: TableCaller): RegistryPages {
  return {
    async page(after, limit) {
      const rows = await tables.call('registryJobs.page', after, limit);
      return rows.map(({ identity, text }) => ({ identity, twin: twinOf(text) }));
    },
  };
}
