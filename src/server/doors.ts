/** Opens every port that the settings ask for. All of them share the hub; none knows another. */
import type { Endpoints } from '../api/endpoints.ts';
import { limits } from '../base/limits.ts';
import { work } from '../base/work.ts';
import type { Archives } from '../core/archive/room.ts';
import type { FilesRoom } from '../core/files/files.ts';
import type { Hub } from '../core/hub.ts';
import type { Guarded } from '../core/identity/guard.ts';
import type { RegistryJobs } from '../core/registry-jobs/room.ts';
import type { Routes } from '../core/routes/room.ts';
import { DeliveryTurns } from '../protocols/amqp/back-ends/delivery-turns.ts';
import { openAmqpDoor } from '../protocols/amqp/server.ts';
import { amqpWebSocketPaths, amqpWebSockets } from '../protocols/amqp/websocket.ts';
import { isLoopback } from '../protocols/http/admin-guard.ts';
import { openAdminDoor } from '../protocols/http/admin-server.ts';
import type { LiveEvents } from '../protocols/http/monitoring-routes.ts';
import type { HttpsDoor } from '../protocols/http/options.ts';
import { openHttpsDoor } from '../protocols/http/server.ts';
import { openMqttDoor } from '../protocols/mqtt/server.ts';
import { mqttWebSockets } from '../protocols/mqtt/websocket.ts';
import type { BulkChangesControl } from '../protocols/shared/bulk-changes-control.ts';
import { ConnectionGate } from '../protocols/shared/connection-gate.ts';
import type { Door } from '../protocols/shared/door.ts';
import type { NodesControl } from '../protocols/shared/nodes-control.ts';
import type { WebSockets } from '../protocols/shared/upgrade.ts';
import type { Port } from './config/config-kinds.ts';
import type { LoadedSettings } from './config/config-sources.ts';
import { connectionLimits, connectionsPossible, descriptorsMax } from './config/connection-settings.ts';
import { openHttpsPort } from './https-port.ts';
import type { Shutdown } from './lifecycle.ts';
import { fine, type Health } from './observe/health/health.ts';
import type { Metrics } from './observe/metrics.ts';
import type { OpenPortal } from './portal/open-portal.ts';
import type { Reach } from './reach.ts';
import type { ListenerThreads } from './threads/threads.ts';
import type { DoorSpec } from './threads/worker.ts';
import type { HandshakeFailures } from './tls/handshake-failures.ts';
import type { ServerTls } from './tls/tls-source.ts';

export interface DoorParts {
  readonly hub: Hub;
  readonly loaded: LoadedSettings;
  readonly reach: Reach;
  readonly tls: ServerTls;
  readonly metrics: Metrics;
  readonly handshakes: Pick<HandshakeFailures, 'failed'>;
  readonly shutdown: Shutdown;
  /** Absent: every door listens in this thread. */
  readonly threads: ListenerThreads | undefined;
  /** What `/events` of the admin port tells. */
  readonly liveEvents?: LiveEvents;
  /** For `/readyz`. */
  readonly health: Health;
  readonly files: Pick<FilesRoom, 'blobs' | 'downloads' | 'rollouts'>;
  readonly registryJobs: Guarded<RegistryJobs>;
  readonly archives: Guarded<Archives>;
  /** Absent = the admin port serves none. */
  readonly portal?: OpenPortal;
  readonly routes: Guarded<Routes>;
  readonly bulkChanges: BulkChangesControl;
  /** Absent = the hub is this process. */
  readonly nodes?: NodesControl;
}

export interface OpenDoors {
  readonly ports: Endpoints['ports'];
  /** What the user should know of the ports. */
  readonly notices: readonly string[];
  /** Nobody new comes in from now on but at the admin port; connections that are open stay. */
  stopAccepting(): Promise<void>;
  /** Ends those, too, as a stop does. */
  drain(): Promise<void>;
}

/** The operator's port: its own places, which nobody at the others can use up, and an end of its own. */
const adminLimits = { connectionsMax: limits.adminConnectionsMax, unprovedConnectionsMax: limits.adminConnectionsMax };

type DoorName = keyof Endpoints['ports'];

export async function openDoors(parts: DoorParts): Promise<OpenDoors> {
  const { hub, loaded, reach, tls, metrics, shutdown, threads } = parts;
  const { settings } = loaded;
  const { failed } = parts.handshakes;
  const doors = new Map<DoorName, Door>();
  const notices: string[] = [];
  let https: HttpsDoor | undefined;
  let isOpen = false;

  const open = async <D extends Door>(name: DoorName, port: Port, make: (port: number) => Promise<D>) => {
    if (port === 'off') return undefined;
    const door = await make(port);
    doors.set(name, door);
    metrics.watchDoor(name, async () => {
      await threads?.count();
      return door.connections();
    });
    return door;
  };

  const ports = (): Endpoints['ports'] => {
    const port = (name: DoorName): number | null => doors.get(name)?.port ?? null;
    return {
      mqtts: port('mqtts'),
      amqps: port('amqps'),
      https: port('https'),
      admin: port('admin'),
      amqp: port('amqp'),
      mqtt: port('mqtt'),
    };
  };

  metrics.watchDelivered(async () => {
    await threads?.count();
    return work.eventsDelivered + (threads?.delivered ?? 0);
  });

  parts.health.add({
    name: 'doors',
    isQuiet: true,
    look: () =>
      isOpen ? fine : { status: 'fail', reason: 'the hub is starting or stopping', remedy: 'Wait; its log says more.' },
  });

  // The operator's port opens first and closes last: it tells of a start and of a stop that take their time.
  shutdown.add('admin door', () => drain([doors.get('admin')], settings.drainSeconds, hub));
  await open('admin', settings.adminPort, (port) =>
    openAdminDoor({
      port,
      addresses: reach.admin,
      hub,
      log: hub.log,
      gate: new ConnectionGate(adminLimits, hub.clock, hub.log),
      health: () => parts.health.report(),
      metrics: () => metrics.page(),
      openApi: () => https?.openApi() ?? {},
      ...(parts.liveEvents !== undefined && { liveEvents: parts.liveEvents }),
      // On loopback nobody else can listen.
      ...(!reach.admin.every(isLoopback) && { tls }),
      ...(parts.portal !== undefined && {
        portal: {
          ...(parts.liveEvents !== undefined && { liveEvents: parts.liveEvents }),
          ...parts.portal,
          hub,
          api: {
            authority: tls.authority,
            files: parts.files,
            registryJobs: parts.registryJobs,
            routes: parts.routes,
            archives: parts.archives,
            bulkChanges: parts.bulkChanges,
            ...(parts.nodes && { nodes: parts.nodes }),
          },
          ports: () => (isOpen ? ports() : null),
        },
      }),
    }),
  );

  const others = (): readonly Door[] => [...doors].filter(([name]) => name !== 'admin').map(([, door]) => door);
  const drainOthers = (): Promise<void> => {
    isOpen = false;
    return drain(others(), settings.drainSeconds, hub);
  };
  shutdown.add('doors', drainOthers);
  // Many devices and readers come through these four. What comes by HTTPS needs the tables for almost everything, and
  // they are in this thread.
  // One gate for all ports of a thread. With listener threads, the HTTPS port, which stays in this one, has its own.
  const descriptors = descriptorsMax();
  const possible = connectionsPossible(descriptors);
  if ((settings.connectionsMax ?? 0) > possible) {
    const sentence = `connectionsMax is lowered to ${possible}: the system lets the process open ${descriptors} files`;
    hub.log.warn({ connectionsMax: settings.connectionsMax, possible, descriptors }, sentence);
    notices.push(`${sentence}. Raise that (ulimit -n) or lower the setting.`);
  }
  const bounds = connectionLimits(settings, descriptors, threads === undefined ? 1 : threads.size + 1);
  const gate = new ConnectionGate(bounds, hub.clock, hub.log);
  metrics.watchConnections(gate);
  const turns = new DeliveryTurns(hub.clock);
  const openShared = (wanted: Omit<DoorSpec, 'bounds'>): Promise<Door> => {
    const spec = { ...wanted, bounds };
    if (threads !== undefined) return threads.open(spec);
    const options = { ...spec, gate, failed, ...(spec.isTls && { tls }) };
    return spec.protocol === 'mqtt' ? openMqttDoor(hub, options) : openAmqpDoor(hub, { ...options, turns });
  };
  const secure = { addresses: reach.open, isTls: true };
  const plain = { addresses: reach.loopback, isTls: false };
  await open('mqtts', settings.mqttsPort, (port) =>
    openShared({ protocol: 'mqtt', name: 'mqttsPort', port, ...secure }),
  );
  await open('mqtt', settings.mqttPort, (port) => openShared({ protocol: 'mqtt', name: 'mqttPort', port, ...plain }));
  await open('amqps', settings.amqpsPort, (port) =>
    openShared({ protocol: 'amqp', name: 'amqpsPort', port, ...secure }),
  );
  await open('amqp', settings.amqpPort, (port) =>
    openShared({ protocol: 'amqp', name: 'amqpPort', port, ...plain, redirectPort: doors.get('amqps')?.port }),
  );
  https = await open('https', settings.httpsPort, async (port) => {
    const redirectPort = doors.get('amqps')?.port ?? 0;
    const webSockets = [
      mqttWebSockets(hub),
      ...amqpWebSocketPaths.map((path) => amqpWebSockets(hub, path, redirectPort, turns)),
    ];
    const upgrades = webSockets.map(({ route }) => route);
    const { door, notice } = await openHttpsPort(port, loaded.sources.httpsPort, (tried) =>
      openHttpsDoor(hub, {
        port: tried,
        addresses: reach.open,
        tls,
        failed,
        gate,
        authority: tls.authority,
        ...(parts.nodes && { nodes: parts.nodes }),
        upgrades,
        files: parts.files,
        registryJobs: parts.registryJobs,
        archives: parts.archives,
        routes: parts.routes,
        bulkChanges: parts.bulkChanges,
      }),
    );
    if (notice !== undefined) notices.push(notice);
    return withWebSockets(door, webSockets);
  });
  isOpen = true;

  return {
    ports: ports(),
    notices,
    async stopAccepting() {
      await Promise.all(others().map((door) => door.stopAccepting()));
    },
    drain: drainOthers,
  };
}

/** One port, one door: what came in as a WebSocket ends with the rest. */
function withWebSockets(door: HttpsDoor, webSockets: readonly WebSockets[]): HttpsDoor {
  return {
    ...door,
    async drain(withinMs) {
      await Promise.all([door.drain(withinMs), ...webSockets.map((all) => all.drain(withinMs))]);
    },
    connections: () => webSockets.reduce((sum, all) => sum + all.connections(), door.connections()),
  };
}

/** Nobody new comes in at any door before the first connection is ended; who does not go in time is cut off. */
async function drain(doors: readonly (Door | undefined)[], seconds: number, { clock, log }: Hub): Promise<void> {
  const open = doors.filter((door) => door !== undefined);
  const closed = open.map((door) => door.stopAccepting());
  const ended = Promise.all([...closed, ...open.map((door) => door.drain(seconds * 1000))]);
  let cancel = (): void => {};
  const late = new Promise<'late'>((resolve) => {
    cancel = clock.after(seconds * 1000, () => resolve('late'));
  });
  const outcome = await Promise.race([ended, late]);
  cancel();
  if (outcome === 'late') {
    const connections = open.reduce((sum, door) => sum + door.connections(), 0);
    log.warn({ connections, seconds }, 'connections that did not end in time are cut off');
  }
}
