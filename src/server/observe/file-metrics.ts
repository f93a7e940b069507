import { Counter, Gauge, type Registry } from 'prom-client';
import type { FilesRoom } from '../../core/files/files.ts';
import type { ObjectStore } from '../../core/files/object-store.ts';
import type { Outcome } from '../../stores/objects/remote/store-client.ts';

/** Requests to a store elsewhere, counted from before there is a registry. */
export interface StoreTraffic {
  observe(outcome: Outcome, seconds: number): void;
  measure(registry: Registry): void;
}

export function storeTraffic(): StoreTraffic {
  const counts: Record<Outcome, number> = { ok: 0, refused: 0, failed: 0 };
  let secondsInAll = 0;
  return {
    observe(outcome, seconds) {
      counts[outcome] += 1;
      secondsInAll += seconds;
    },
    measure(registry) {
      const registers = [registry];
      new Counter({
        name: 'mooring_files_store_requests_total',
        help: 'Requests to the store of files, by what became of them; each try counts',
        labelNames: ['outcome'],
        registers,
        collect() {
          this.reset();
          for (const [outcome, count] of Object.entries(counts)) this.inc({ outcome }, count);
        },
      });
      new Counter({
        name: 'mooring_files_store_seconds_total',
        help: 'Seconds until the store of files had answered, of all requests together',
        registers,
        collect() {
          this.reset();
          this.inc(secondsInAll);
        },
      });
    },
  };
}

/** What lies in the store of files, and what waits for devices and back ends; read when it is asked for. */
export function measureFiles(
  registry: Registry,
  files: Pick<FilesRoom, 'totals'>,
  store: Pick<ObjectStore, 'kind' | 'usage'>,
  traffic: StoreTraffic,
): void {
  const registers = [registry];
  if (store.kind !== 'folder') traffic.measure(registry);
  new Gauge({
    name: 'mooring_files_bytes',
    help: 'Bytes of all files, unfinished ones included',
    registers,
    async collect() {
      const usage = await store.usage('').catch(() => undefined);
      if (usage === undefined) this.remove();
      else this.set(usage.bytes);
    },
  });
  new Gauge({
    name: 'mooring_files',
    help: 'Files that are stored',
    registers,
    async collect() {
      const usage = await store.usage('').catch(() => undefined);
      if (usage === undefined) this.remove();
      else this.set(usage.objects);
    },
  });
  new Gauge({
    name: 'mooring_file_uploads_open',
    help: 'Uploads that devices have begun and not ended',
    registers,
    async collect() {
      this.set((await files.totals()).uploadsOpen);
    },
  });
  new Gauge({
    name: 'mooring_file_notifications_waiting',
    help: 'Uploads that no back end has heard of yet',
    registers,
    async collect() {
      this.set((await files.totals()).notifications);
    },
  });
}
