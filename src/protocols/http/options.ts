import type { Endpoints } from '../../api/endpoints.ts';
import type { HealthReport } from '../../api/health.ts';
import type { Log } from '../../base/log.ts';
import type { Archives } from '../../core/archive/room.ts';
import type { FilesRoom } from '../../core/files/files.ts';
import type { Hub } from '../../core/hub.ts';
import type { Guarded } from '../../core/identity/guard.ts';
import type { Policy } from '../../core/identity/types.ts';
import type { RegistryJobs } from '../../core/registry-jobs/room.ts';
import type { Routes } from '../../core/routes/room.ts';
import type { BulkChangesControl } from '../shared/bulk-changes-control.ts';
import type { ConnectionGate } from '../shared/connection-gate.ts';
import type { Door } from '../shared/door.ts';
import type { ListenerOptions, TlsSource } from '../shared/listener.ts';
import type { NodesControl } from '../shared/nodes-control.ts';
import type { ServerAuthority } from '../shared/server-authority.ts';
import type { UpgradeRoute } from '../shared/upgrade.ts';
import type { LiveEvents } from './monitoring-routes.ts';
import type { PublicOrigins } from './portal/browser-rules.ts';
import type { Pages } from './portal/pages.ts';
import type { PortalSessions } from './portal/sessions.ts';

/** What some routes of the API need beside the hub. */
export interface ApiParts {
  /** The private authority behind the port's certificate; absent where the certificate is the operator's own. */
  readonly authority?: ServerAuthority;
  /** The nodes that serve the hub; absent = it is one process. */
  readonly nodes?: NodesControl;
  /** Changes of many devices that the hub carries out; absent = there are none. */
  readonly bulkChanges?: BulkChangesControl;
  /** What signed URLs open, and files as back ends see them; absent = there are none. */
  readonly files?: Pick<FilesRoom, 'blobs' | 'downloads' | 'rollouts'>;
  /** Archives of events; absent = there are none. */
  readonly archives?: Guarded<Archives>;
  /** Imports and exports of the registry; absent = there are none. */
  readonly registryJobs?: Guarded<RegistryJobs>;
  /** Where events go; absent = there are no routes. */
  readonly routes?: Guarded<Routes>;
}

export interface HttpsDoorOptions extends ApiParts {
  /** 0 = any free port. */
  readonly port: number;
  readonly addresses: readonly string[];
  readonly tls: TlsSource;
  /** See `ListenerOptions`. */
  readonly gate?: ConnectionGate;
  /** See `ListenerOptions`. */
  readonly failed?: ListenerOptions['failed'];
  /** WebSockets of other protocols on this port; none = every upgrade is refused. */
  readonly upgrades?: readonly UpgradeRoute[];
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
  /** The portal at `/`; absent = there is none. */
  readonly portal?: PortalOptions;
  /** With it, TLS is spoken with clients that begin it, on the same port. */
  readonly tls?: TlsSource;
}

export interface PortalOptions {
  /** What the page may ask for, each by its session's rights. */
  readonly hub: Hub;
  readonly api: ApiParts;
  readonly sessions: PortalSessions;
  readonly pages: Pages;
  /** What one-time codes stand for: the policy that may do everything. */
  readonly owner: Policy;
  /** Proves to this port that the caller may read the data folder; such a caller is given one-time codes. */
  readonly secret: string;
  /** See `browser-rules.ts`. */
  readonly publicOrigins: PublicOrigins;
  readonly version: string;
  /** What `/portal/stream` tells of monitoring; absent = it is switched off. */
  readonly liveEvents?: Pick<LiveEvents, 'watch'>;
  /** The name of the node that answers; absent = the hub is this process. Sessions are of one node. */
  readonly node?: string;
  /** Of the hub as a whole, now; JSON. */
  overview(): Promise<object>;
  /** Of the past, for charts; JSON. @param from @param to UTC milliseconds @param points how many at most */
  history(from: number, to: number, points: number): object;
  /** What the page shows of the hub's other ports; null before they are open. */
  ports(): Endpoints['ports'] | null;
}
