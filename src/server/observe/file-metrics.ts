import { Gauge, type Registry } from 'prom-client';
import type { Files } from '../../core/files/files.ts';
import type { ObjectStore } from '../../core/files/object-store.ts';

/** What lies in the store of files, and what waits for devices and back ends; read when it is asked for. */
export function measureFiles(
  registry: Registry,
  files: Pick<Files, 'totals'>,
  store: Pick<ObjectStore, 'usage'>,
): void {
  const registers = [registry];
  new Gauge({
    name: 'mooring_files_bytes',
    help: 'Bytes of all files, unfinished ones included',
    registers,
    async collect() {
      const usage = await store.usage('');
      if (usage !== undefined) this.set(usage.bytes);
    },
  });
  new Gauge({
    name: 'mooring_files',
    help: 'Files that are stored',
    registers,
    async collect() {
      const usage = await store.usage('');
      if (usage !== undefined) this.set(usage.objects);
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
