import { Counter, Gauge, type Registry } from 'prom-client';
import type { JobTotals } from '../../core/registry-jobs/registry-jobs.ts';

/** What imports and exports of the registry have done since the start. */
export function measureRegistryJobs(registry: Registry, totals: JobTotals): void {
  const registers = [registry];
  const counter = (name: string, help: string, value: () => number): void => {
    new Counter({
      ...{ name, help, registers },
      collect() {
        this.reset();
        this.inc(value());
      },
    });
  };
  counter(
    'mooring_registry_job_lines_total',
    'Lines of imports and identities of exports that were dealt with',
    () => totals.done,
  );
  counter('mooring_registry_job_failed_lines_total', 'Lines of imports that could not be taken', () => totals.failed);
  new Gauge({
    name: 'mooring_registry_job_running',
    help: 'Whether an import or export of the registry is under way here',
    labelNames: ['kind'],
    registers,
    collect() {
      for (const kind of ['import', 'export'] as const) this.set({ kind }, totals.running === kind ? 1 : 0);
    },
  });
}
