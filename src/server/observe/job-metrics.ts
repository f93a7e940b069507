import { Counter, Gauge, type Registry } from 'prom-client';
import type { Clock } from '../../base/clock.ts';
import type { JobStore } from '../../core/jobs/ports.ts';
import type { JobRunner } from '../../core/jobs/runner.ts';

/** What jobs have done on this node since its start, and which there are in the store. */
export function measureJobs(
  registry: Registry,
  runner: Pick<JobRunner, 'ended' | 'underWay'>,
  store: Pick<JobStore, 'totals'>,
  clock: Pick<Clock, 'now'>,
): void {
  const registers = [registry];
  new Counter({
    name: 'mooring_job_devices_total',
    help: 'Devices whose part of a job has ended, by what became of them',
    labelNames: ['outcome'],
    registers,
    collect() {
      this.reset();
      for (const [outcome, count] of Object.entries(runner.ended)) this.inc({ outcome }, count);
    },
  });
  new Gauge({
    name: 'mooring_job_methods_under_way',
    help: 'Methods of jobs that are under way',
    registers,
    collect() {
      this.set(runner.underWay);
    },
  });
  new Gauge({
    name: 'mooring_jobs',
    help: 'Jobs that are kept, by status',
    labelNames: ['status'],
    registers,
    async collect() {
      const { jobs } = await store.totals(clock.now());
      for (const [status, count] of Object.entries(jobs)) this.set({ status }, count);
    },
  });
}
