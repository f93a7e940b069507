import type { Clock } from '../../base/clock.ts';
import type { CommandQueue } from '../../core/commands/ports.ts';
import type { ConfigurationStore } from '../../core/configurations/ports.ts';
import type { ConsumerGroupStore } from '../../core/events/ports.ts';
import type { FileRecords, GrantRecords } from '../../core/files/ports.ts';
import type { RolloutRecords } from '../../core/files/rollout-types.ts';
import type {
  AuthorityChange,
  AuthorityStore,
  IdentityChange,
  IdentityStore,
  PolicyStore,
} from '../../core/identity/ports.ts';
import type { JobStore } from '../../core/jobs/ports.ts';
import type { SubscriptionStore } from '../../core/presence/ports.ts';
import type { PresenceStateStore } from '../../core/presence/states.ts';
import type { RegistryJobStore, RegistryPages } from '../../core/registry-jobs/ports.ts';
import type { CursorStore, RouteStore } from '../../core/routes/ports.ts';
import type { TwinStore } from '../../core/twins/ports.ts';
import type { AuthorityOutcome } from './authorities.ts';
import type { TableCaller } from './caller.ts';
import { createTableCommandQueue } from './command-queue.ts';
import { createTableConfigurationStore, Listeners } from './configuration-store.ts';
import { createTableJobStore } from './job-store.ts';
import { tableRegistryJobs, tableRegistryPages } from './registry-job-store.ts';
import { tableCursors, tableRoutes } from './route-store.ts';
import { createTableTwinStore } from './twin-store.ts';

/** The stores that live in the tables. */
export interface TableStores {
  readonly identities: IdentityStore;
  readonly authorities: AuthorityStore;
  readonly policies: PolicyStore;
  readonly consumerGroups: ConsumerGroupStore;
  readonly subscriptions: SubscriptionStore;
  readonly commandQueue: CommandQueue;
  readonly fileRecords: FileRecords;
  readonly twins: TwinStore;
  readonly configurations: ConfigurationStore;
  readonly fileGrants: GrantRecords;
  readonly fileRollouts: RolloutRecords;
  readonly registryJobs: RegistryJobStore;
  readonly registryPages: RegistryPages;
  readonly jobs: JobStore;
  readonly routes: RouteStore;
  readonly cursors: CursorStore;
}

/** Presence as one node says it; empty = the only one. */
export const createTablePresence = (tables: TableCaller, node: string): PresenceStateStore => ({
  begin: () => tables.call('presence.begin', node),
  end: () => tables.call('presence.end', node),
  get: (keys) => tables.call('presence.get', keys),
  save: (states) => tables.call('presence.save', node, states),
  recover: (count) => tables.call('presence.recover', node, count),
});

export function createTableStores(tables: TableCaller, clock: Clock, keepsLifecycle = false): TableStores {
  const marks = new Listeners();
  const identities = tableIdentities(tables, keepsLifecycle ? clock : undefined, () => marks.tell());
  const twins = createTableTwinStore(tables, identities, () => marks.tell());
  return {
    identities,
    authorities: tableAuthorities(tables),
    policies: {
      load: () => tables.call('policies.load'),
      save: (policies) => tables.call('policies.save', policies),
    },
    consumerGroups: {
      list: (eventHub) => tables.call('consumerGroups.list', eventHub),
      create: (eventHub, group, countMax) => tables.call('consumerGroups.create', eventHub, group, countMax),
      delete: (eventHub, name) => tables.call('consumerGroups.delete', eventHub, name),
    },
    subscriptions: {
      load: (key, generationId) => tables.call('subscriptions.load', key, generationId),
      save: (key, generationId, subscriptions) =>
        tables.call('subscriptions.save', key, generationId, subscriptions, clock.now()),
      remove: (key) => tables.call('subscriptions.remove', key),
    },
    commandQueue: createTableCommandQueue((name, ...args) => tables.call(name, ...args)),
    registryJobs: tableRegistryJobs(tables),
    routes: tableRoutes(tables),
    cursors: tableCursors(tables),
    registryPages: tableRegistryPages(tables),
    fileRollouts: {
      create: (rollout, keys, runningMax) => tables.call('rollouts.create', rollout, keys, runningMax),
      find: (id) => tables.call('rollouts.find', id),
      list: (page) => tables.call('rollouts.list', page),
      running: () => tables.call('rollouts.running'),
      targets: (id, of) => tables.call('rollouts.targets', id, of),
      settle: (id, changes) => tables.call('rollouts.settle', id, changes),
      advance: (id, change) => tables.call('rollouts.advance', id, change),
      sweep: (before, count) => tables.call('rollouts.sweep', before, count),
    },
    fileGrants: {
      grant: (grants, perIdentityMax, now) => tables.call('grants.grant', grants, perIdentityMax, now),
      find: (id) => tables.call('grants.find', id),
      findByName: (key, name, now) => tables.call('grants.findByName', key, name, now),
      list: (of, page) => tables.call('grants.list', of, page),
      progress: (id, progress) => tables.call('grants.progress', id, progress),
      revoke: (id) => tables.call('grants.revoke', id),
      forget: (key) => tables.call('grants.forget', key),
      sweep: (before, count) => tables.call('grants.sweep', before, count),
    },
    fileRecords: {
      secret: async (fresh) =>
        Buffer.from(await tables.call('secrets.get', 'files', Buffer.from(fresh).toString('base64')), 'base64'),
      open: (upload, openMax, now) => tables.call('files.open', upload, openMax, now),
      find: (key, correlationId) => tables.call('files.find', key, correlationId),
      close: (key, correlationId, notification, now) =>
        tables.call('files.close', key, correlationId, notification, now),
      forget: (key) => tables.call('files.forget', key),
      lock: (request, now) => tables.call('files.lock', request, now),
      settle: (lockToken, settlement, deliveryCountMax, now) =>
        tables.call('files.settle', lockToken, settlement, deliveryCountMax, now),
      sweep: (count, now) => tables.call('files.sweep', count, now),
      totals: (now) => tables.call('files.totals', now),
    },
    twins,
    jobs: createTableJobStore(tables, twins, () => marks.tell()),
    configurations: createTableConfigurationStore(
      tables,
      marks,
      (notes, withEvents) => {
        twins.tell(notes, withEvents);
        const keys = notes.map(({ key }) => key);
        twins.changed(keys, { kind: 'merge', desired: {} });
      },
      (keys) => twins.restated(keys),
    ),
  };
}

/** @param lifecycleClock Given where events of created and deleted identities are to be kept. */
function tableIdentities(tables: TableCaller, lifecycleClock: Clock | undefined, marked: () => void): IdentityStore {
  const listeners = new Set<(change: IdentityChange) => void>();
  return {
    get: (key) => tables.call('identities.get', key),
    listDevices: (page) => tables.call('identities.listDevices', page),
    listModules: (deviceId) => tables.call('identities.listModules', deviceId),
    listChildren: (scope, page) => tables.call('identities.listChildren', scope, page),
    counts: () => tables.call('identities.counts'),
    write: (writes) =>
      tables.callThen('identities.write', [writes, lifecycleClock?.now()], ({ outcomes, changes, isMarked }) => {
        if (isMarked) marked();
        for (const change of changes) for (const listener of listeners) listener(change);
        return outcomes;
      }),
    watchOwnWrites(listener) {
      // A wrapper of its own, so that the same function may watch twice and end each watch by itself.
      const own = (change: IdentityChange): void => listener(change);
      listeners.add(own);
      return () => listeners.delete(own);
    },
  };
}

function tableAuthorities(tables: TableCaller): AuthorityStore {
  const listeners = new Set<(change: AuthorityChange) => void>();
  const told = <Kind>({ outcome, change }: AuthorityOutcome<Kind>): Kind => {
    if (change !== undefined) for (const listener of listeners) listener(change);
    return outcome;
  };
  return {
    list: () => tables.call('authorities.list'),
    create: (authority, countMax) => tables.callThen('authorities.create', [authority, countMax], told),
    replace: (authority, ifMatch) => tables.callThen('authorities.replace', [authority, ifMatch], told),
    delete: (name, ifMatch) => tables.callThen('authorities.delete', [name, ifMatch], told),
    intermediates: () => tables.call('authorities.intermediates'),
    keepIntermediate: (intermediate, countMax) => tables.call('authorities.keepIntermediate', intermediate, countMax),
    watchOwnWrites(listener) {
      const own = (change: AuthorityChange): void => listener(change);
      listeners.add(own);
      return () => listeners.delete(own);
    },
  };
}
