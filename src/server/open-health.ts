/** The health of a hub: what each part of it can say of itself, in the order in which it is shown. */
import type { Clock } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import type { EventLog } from '../core/events/ports.ts';
import type { OpenArchive } from './archive/open-archive.ts';
import type { Settings } from './config/config.ts';
import type { DataFolder } from './data/data-folder.ts';
import type { KeptRunningTime } from './data/running-time.ts';
import type { OpenFiles } from './files.ts';
import type { Shutdown } from './lifecycle.ts';
import { measureFiles } from './observe/file-metrics.ts';
import { archivesCheck } from './observe/health/archive-checks.ts';
import { certificateCheck, threadsCheck, tracesCheck } from './observe/health/checks.ts';
import { clockCheck } from './observe/health/clock-check.ts';
import { diskCheck } from './observe/health/disk-check.ts';
import { filesCheck } from './observe/health/file-checks.ts';
import { Health, type HealthCheck } from './observe/health/health.ts';
import { measureHealth } from './observe/health/metrics.ts';
import { watchStalls } from './observe/health/stalls.ts';
import type { Metrics } from './observe/metrics.ts';
import type { OpenTraces } from './observe/traces/traces.ts';
import type { Storage } from './storage/storage.ts';
import type { ListenerThreads } from './threads/threads.ts';
import type { ServerTls } from './tls/tls-source.ts';

export interface HealthParts {
  readonly settings: Settings;
  readonly storage: Pick<Storage, 'checks' | 'onDisk'>;
  readonly folder: DataFolder;
  readonly runningTime: KeptRunningTime;
  readonly telemetry: EventLog;
  readonly tls: ServerTls;
  /** Undefined: doors are served by the main thread. */
  readonly threads: ListenerThreads | undefined;
  readonly files: OpenFiles;
  readonly archives: OpenArchive['archives'];
  /** Of the endpoints of routes. */
  readonly delivery: HealthCheck;
  readonly traces: OpenTraces | undefined;
  /** Bytes that are kept on the disk for the last writes of a hub; undefined before they are. */
  readonly reserveBytes: () => number | undefined;
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly log: Log;
  readonly shutdown: Shutdown;
}

/** Checks that a hub gets later are added by who opens them; it begins to look when it is started. */
export function openHealth(parts: HealthParts): Health {
  const { settings, storage, folder, tls, threads, files, metrics, clock, log, shutdown } = parts;
  const { registry } = metrics;
  const health = new Health(clock, log);
  for (const check of storage.checks) health.add(check);
  if (threads !== undefined) health.add(threadsCheck(threads));
  health.add(certificateCheck(tls, clock));
  const times = settings.storage === 'cluster' ? 'brokers' : 'hub';
  health.add(clockCheck(parts.runningTime, parts.telemetry, clock, times));
  const { segmentBytes, filesBytesMax } = settings;
  const { reserveBytes } = parts;
  health.add(diskCheck({ folder: folder.path, segmentBytes, logs: storage.onDisk, reserveBytes }));
  const stalls = watchStalls(registry, log);
  shutdown.add('watch over the loop', () => stalls.close());
  health.add(stalls.check);
  if (files.store !== undefined) {
    health.add(filesCheck({ store: files.store, hostName: files.hostName, filesBytesMax }));
    measureFiles(registry, files.room, files.store, files.traffic);
  }
  const known = () =>
    parts.archives.known().map(({ endpoint, open }) => ({ name: endpoint.name, status: open?.archiver.status() }));
  health.add(archivesCheck({ known, retentionSeconds: settings.retentionDays * 86_400 }));
  health.add(parts.delivery);
  if (parts.traces !== undefined) health.add(tracesCheck(parts.traces));
  measureHealth(registry, { health, tls, folder: folder.path });
  shutdown.add('health', () => health.close());
  return health;
}
