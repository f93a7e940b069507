import type { HealthReport } from '../../api/health.ts';
import type { Log } from '../../base/log.ts';
import type { FilesRoom } from '../../core/files/files.ts';
import type { Hub } from '../../core/hub.ts';
import type { Guarded } from '../../core/identity/guard.ts';
import type { RegistryJobs } from '../../core/registry-jobs/room.ts';
import type { ConnectionGate } from '../shared/connection-gate.ts';
import type { Door } from '../shared/door.ts';
import type { ListenerOptions, TlsSource } from '../shared/listener.ts';
import type { ServerAuthority } from '../shared/server-authority.ts';
import type { UpgradeRoute } from '../shared/upgrade.ts';
import type { LiveEvents } from './monitoring-routes.ts';

export interface HttpsDoorOptions {
  /** 0 = any free port. */
  readonly port: number;
  readonly addresses: readonly string[];
  readonly tls: TlsSource;
  /** See `ListenerOptions`. */
  readonly gate?: ConnectionGate;
  /** See `ListenerOptions`. */
  readonly failed?: ListenerOptions['failed'];
  /** The private authority behind `tls`; absent where the certificate is the operator's own. */
  readonly authority?: ServerAuthority;
  /** WebSockets of other protocols on this port; none = every upgrade is refused. */
  readonly upgrades?: readonly UpgradeRoute[];
  /** What signed URLs open, and files as back ends see them; absent = there are none. */
  readonly files?: Pick<FilesRoom, 'blobs' | 'downloads' | 'rollouts'>;
  /** Imports and exports of the registry; absent = there are none. */
  readonly registryJobs?: Guarded<RegistryJobs>;
  /** Milliseconds from a request's first byte to its last; default `limits.httpRequestMs`; 0 = without end. */
  readonly requestMs?: number;
}

export interface HttpsDoor extends Door {
  /** The management API as an OpenAPI 3 document. */
  openApi(): unknown;
}

export interface AdminDoorOptions {
  /** See `ListenerOptions`. */
  readonly gate?: ConnectionGate;
  /** 0 = any free port. */
  readonly port: number;
  readonly addresses: readonly string[];
  /** Who may look, when this port is reachable from other machines, and under which names the hub is addressed. */
  readonly hub: Pick<Hub, 'authentication' | 'guard' | 'clock' | 'hostNames' | 'random'>;
  readonly log: Log;
  /** What is wrong with the hub; ready = nothing keeps it from serving. */
  health(): HealthReport | Promise<HealthReport>;
  /** Prometheus text and its content type. */
  metrics(): Promise<{ readonly contentType: string; readonly text: string }>;
  /** The OpenAPI document, usually of the HTTPS door. */
  openApi(): unknown;
  /** What `/events` tells; absent = there is nothing to follow. */
  readonly liveEvents?: LiveEvents;
  readonly requestMs?: number;
}
