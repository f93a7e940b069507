/** Health in Prometheus' form. */
import { Gauge, type Registry } from 'prom-client';
import { healthStatuses } from '../../../api/health.ts';
import { expiryOf } from './checks.ts';
import { diskRoom } from './disk-check.ts';
import type { Health } from './health.ts';

export interface HealthMeasured {
  readonly health: Health;
  readonly tls: Parameters<typeof expiryOf>[0];
  /** The data folder. */
  readonly folder: string;
}

export function measureHealth(registry: Registry, { health, tls, folder }: HealthMeasured): void {
  const registers = [registry];
  new Gauge({
    name: 'mooring_health_status',
    help: 'Of each health check: 0 = ok, 1 = warn, 2 = fail (the hub is not ready)',
    labelNames: ['check'],
    registers,
    async collect() {
      const { checks } = await health.report();
      for (const { name: check, status } of checks) this.set({ check }, healthStatuses.indexOf(status));
    },
  });
  new Gauge({
    name: 'mooring_certificate_expiry_seconds',
    help: 'When the certificate that the hub shows ends, in seconds since 1970',
    registers,
    collect() {
      this.set(expiryOf(tls) / 1000);
    },
  });
  new Gauge({
    name: 'mooring_disk_bytes',
    help: 'Bytes of the disk of the data folder: all of them, and those that the hub may still write',
    labelNames: ['kind'],
    registers,
    async collect() {
      const room = await diskRoom(folder).catch(() => undefined);
      this.reset();
      if (room === undefined) return;
      this.set({ kind: 'total' }, room.totalBytes);
      this.set({ kind: 'free' }, room.freeBytes);
    },
  });
}
