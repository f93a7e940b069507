import type { Permission } from './types.ts';

/** Who may do an operation, and which of its refusals the monitoring stream tells. */
export interface OperationRule {
  /** The permission that a policy needs, or all of several (service reference 1.5). */
  readonly policy: Permission | readonly Permission[];
  /** All of these do as well. */
  readonly orPolicy?: readonly Permission[];
  /** Whether a device or module may do it to itself. It never acts for another identity, nor for its own modules. */
  readonly self: boolean;
  /**
   * `all`: it changes, sends, takes or opens something. `permission`: it reads and leaves everything as it is, so that
   * only a missing permission is told: that something is not there is an answer. The rule is in `docs/monitoring.md`.
   */
  readonly told: 'all' | 'permission';
  /** It goes on for as long as a peer likes, and so has no place among the calls of its caller (`call-shares.ts`). */
  readonly isLong?: true;
}

const reads = (policy: Permission): OperationRule => ({ policy, self: false, told: 'permission' });
const does = (policy: OperationRule['policy']): OperationRule => ({ policy, self: false, told: 'all' });
/** What a device does itself, or a back end that may speak for every device. */
const ofDevice: OperationRule = { policy: 'DeviceConnect', self: true, told: 'all' };

/** Every operation there is. A call of a room is one of these, or no client can make it: see `guard.ts`. */
export const operationTable = {
  'registry.read': reads('RegistryRead'),
  'registry.write': does('RegistryWrite'),
  // A registry's part with its keys: the runtime of an edge device lets its children in by them.
  'scopes.read': { policy: ['RegistryRead', 'DeviceConnect'], self: true, told: 'permission' },
  'statistics.read': reads('RegistryRead'),
  'registryJobs.read': reads('RegistryRead'),
  // An export shows what is in the registry, keys as well; an import changes it.
  // A container elsewhere is asked whether it can be used.
  'registryJobs.write': { ...does(['RegistryRead', 'RegistryWrite']), isLong: true },
  // Until the connection that it displaces has settled what it has sent.
  connect: { ...ofDevice, isLong: true },
  'subscriptions.read': { ...ofDevice, told: 'permission' },
  'subscriptions.write': ofDevice,
  'telemetry.send': ofDevice,
  'commands.receive': ofDevice,
  'commands.settle': ofDevice,
  // What a gateway asks for all devices behind it at once: batches of their telemetry, and who they are.
  'devices.speakFor': does('DeviceConnect'),
  // The key of one identity, for a handshake that it proves itself in; it reads nothing of the registry.
  'sharedKeys.derive': does('DeviceConnect'),
  'commands.send': does('ServiceConnect'),
  'commands.read': reads('ServiceConnect'),
  'commands.purge': does('ServiceConnect'),
  'feedback.receive': does('ServiceConnect'),
  'feedback.settle': does('ServiceConnect'),
  'twins.read': reads('ServiceConnect'),
  'twins.write': does('ServiceConnect'),
  'twins.readOwn': { ...ofDevice, told: 'permission' },
  'twins.report': ofDevice,
  // For seconds perhaps; queries have places of their own (`core/query/queries.ts`).
  'fleet.query': { ...reads('ServiceConnect'), isLong: true },
  'configurations.read': reads('RegistryRead'),
  'configurations.write': does('RegistryWrite'),
  'configurations.apply': does('RegistryWrite'),
  'methods.invoke': { ...does('ServiceConnect'), isLong: true },
  'methods.receive': ofDevice,
  // The service's how-to asks for the registry's permissions, its other calls of this kind for ServiceConnect: either will do.
  'jobs.read': { ...reads('ServiceConnect'), orPolicy: ['RegistryRead'] },
  'jobs.write': { ...does('ServiceConnect'), orPolicy: ['RegistryRead', 'RegistryWrite'] },
  'archives.read': reads('ServiceConnect'),
  // It asks a store, and has it written to where a file is missing.
  'archives.verify': { ...does('ServiceConnect'), isLong: true },
  'routes.read': reads('RegistryRead'),
  // They say where everything goes that devices send: only a policy that may do everything may change them.
  'routes.write': does(['RegistryRead', 'RegistryWrite', 'ServiceConnect', 'DeviceConnect']),
  'events.read': does('ServiceConnect'),
  'eventHubs.read': reads('ServiceConnect'),
  'consumerGroups.read': reads('ServiceConnect'),
  'consumerGroups.write': does('RegistryWrite'),
  'files.upload': ofDevice,
  'files.fetch': ofDevice,
  'files.read': reads('ServiceConnect'),
  'files.write': { ...does('ServiceConnect'), isLong: true },
  'files.grant': does('ServiceConnect'),
  'fileNotifications.receive': does('ServiceConnect'),
  'fileNotifications.settle': does('ServiceConnect'),
  'hub.read': reads('RegistryRead'),
  'authorities.read': reads('RegistryRead'),
  'authorities.write': does('RegistryWrite'),
  'nodes.read': reads('RegistryRead'),
  // It ends connections of every client of that node: only a policy that may do everything may do it.
  'nodes.write': does(['RegistryRead', 'RegistryWrite', 'ServiceConnect', 'DeviceConnect']),
  'serverAuthority.read': reads('RegistryRead'),
  // It concerns every client: only a policy that may do everything may do it.
  'serverAuthority.write': does(['RegistryRead', 'RegistryWrite', 'ServiceConnect', 'DeviceConnect']),
} as const satisfies Readonly<Record<string, OperationRule>>;

/** Everything that a client can ask of the hub. */
export type Operation = keyof typeof operationTable;

/** The same by name, for the access matrix. */
export const operations = Object.keys(operationTable) as readonly Operation[];
