/** What archives have done, and how far they are behind. */
import { Counter, Gauge, type Registry } from 'prom-client';
import type { ArchiveStatus } from '../../core/archive/types.ts';

type Value = readonly [name: string, help: string, value: (status: ArchiveStatus) => number];

const counters: readonly Value[] = [
  ['mooring_archive_files_total', 'Files that were brought into the store since the start', (of) => of.totals.files],
  ['mooring_archive_events_total', 'Events in these files', (of) => of.totals.events],
  ['mooring_archive_bytes_total', 'Bytes of these files', (of) => of.totals.bytes],
  ['mooring_archive_failures_total', 'Tries of a file that failed', (of) => of.totals.failures],
  ['mooring_archive_missed_total', 'Events that retention removed before they were archived', (of) => of.totals.missed],
];
const gauges: readonly Value[] = [
  ['mooring_archive_ok', '1 while the archive takes events, else 0', (of) => (of.state === 'degraded' ? 0 : 1)],
  ['mooring_archive_lag_events', 'Events that are in no file yet, at most', (of) => of.lagEvents],
  ['mooring_archive_lag_seconds', 'Age of the oldest of these', (of) => of.lagSeconds],
];

export function measureArchives(registry: Registry, statuses: () => readonly ArchiveStatus[]): void {
  const [labelNames, registers] = [['archive'], [registry]];
  for (const [name, help, value] of counters) {
    new Counter({
      ...{ name, help, labelNames, registers },
      collect() {
        this.reset();
        for (const status of statuses()) this.inc({ archive: status.endpoint }, value(status));
      },
    });
  }
  for (const [name, help, value] of gauges) {
    new Gauge({
      ...{ name, help, labelNames, registers },
      collect() {
        this.reset();
        for (const status of statuses()) this.set({ archive: status.endpoint }, value(status));
      },
    });
  }
}
