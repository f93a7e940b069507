import { Gauge, type Registry } from 'prom-client';
import type { FilesRoom } from '../../core/files/files.ts';
import type { ObjectStore } from '../../core/files/object-store.ts';
import type { StoreTraffic } from './store-traffic.ts';

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
