import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { Random } from '../../base/random.ts';
import { HubError } from '../errors.ts';
import type { PresenceState } from '../presence/types.ts';
import { runBulk } from './bulk.ts';
import { edgeScopeReads } from './edge-scope-reads.ts';
import type { Guard, Guarded } from './guard.ts';
import type { IdentityStore } from './ports.ts';
import { regenerateKeys } from './regenerate-keys.ts';
import { registryCalls } from './registry-calls.ts';
import { carryOut, keyOf, notFound, type RegistryLimits, type Wish } from './registry-writes.ts';
import type { AuthenticationType, Identity, IdentityKey, IdentityStatus, Principal } from './types.ts';

/** The identity registry as doors see it. Every operation refuses a principal that may not do it. */
export interface Registry {
  /** @throws HubError DeviceNotFound, ModuleNotFound */
  get(principal: Principal, key: IdentityKey): Promise<IdentityView>;
  /** Devices in order of id; `top` outside 1 to 1000 counts as 1000. */
  list(principal: Principal, top?: number): Promise<readonly IdentityView[]>;
  listModules(principal: Principal, deviceId: string): Promise<readonly IdentityView[]>;
  /**
   * Creates without `ifMatch`, replaces with it (`*` or an ETag, quotes and `W/` already removed).
   * @throws HubError DeviceAlreadyExists, PreconditionFailed, DeviceNotFound, ArgumentInvalid, TooManyDevices …
   */
  put(principal: Principal, draft: IdentityDraft, ifMatch?: string): Promise<IdentityView>;
  /** Absent `ifMatch` counts as `*`. */
  delete(principal: Principal, key: IdentityKey, ifMatch?: string): Promise<void>;
  bulk(principal: Principal, items: readonly BulkItem[]): Promise<BulkResult>;
  /**
   * Makes new keys for each of up to `bulkIdentitiesMax` identities; each stands for itself.
   * @throws HubError ArgumentInvalid, DeviceDefinedMultipleTimes
   */
  regenerateKeys(
    principal: Principal,
    which: WhichKeys,
    keys: readonly IdentityKey[],
  ): Promise<readonly (Identity | HubError)[]>;
  /**
   * What the runtime of an edge device may know, its keys included: the device, its children in order of id, the modules of each.
   * @param edgeHub the module `$edgeHub`, which must have proved itself by what is its own
   * @param behalf an edge device below it, whose children are meant; absent = its own
   * @throws HubError IotHubUnauthorizedAccess
   */
  listInScope(principal: Principal, edgeHub: IdentityKey, page: ScopePage, behalf?: string): Promise<InScope>;
  /**
   * The same of one device, wherever it is below, and the module of it that is named.
   * @throws HubError DeviceNotFound, ModuleNotFound
   */
  getInScope(principal: Principal, edgeHub: IdentityKey, target: IdentityKey, behalf?: string): Promise<InScope>;
  statistics(principal: Principal): Promise<RegistryStatistics>;
  /** Which enabled devices have done nothing since `time` (UTC milliseconds); as many of them as `top` says by name. */
  unseenSince(principal: Principal, time: number, top: number): Promise<UnseenDevices>;
}

export interface ScopePage {
  /** Id of the last child of the page before. */
  readonly after?: string;
  readonly limit: number;
}

export interface InScope {
  readonly devices: readonly IdentityView[];
  readonly modules: readonly IdentityView[];
  /** `after` of the next page; absent on the last one. */
  readonly next?: string;
}

export interface UnseenDevices {
  /** Enabled devices in all. */
  readonly devices: number;
  readonly unseen: number;
  /** In order of id. */
  readonly deviceIds: readonly string[];
}

/** An identity with what other rooms know of it. */
export interface IdentityView extends Identity, PresenceState {
  readonly cloudToDeviceMessageCount: number;
}

/**
 * What a back end wants an identity to be. Absent = default; empty keys = to be generated (service reference 2.3). A
 * replacement without any `authentication` keeps the stored one.
 */
export interface IdentityDraft extends IdentityKey {
  readonly status?: IdentityStatus;
  readonly statusReason?: string | null;
  readonly authentication?: {
    readonly type?: AuthenticationType;
    readonly symmetricKey?: { readonly primaryKey?: string | null; readonly secondaryKey?: string | null } | null;
    readonly x509Thumbprint?: {
      readonly primaryThumbprint?: string | null;
      readonly secondaryThumbprint?: string | null;
    } | null;
  };
  readonly capabilities?: { readonly iotEdge?: boolean };
  readonly deviceScope?: string | null;
  readonly parentScopes?: readonly string[];
  readonly managedBy?: string | null;
}

export type ImportMode =
  | 'create'
  | 'update'
  | 'updateIfMatchETag'
  | 'createOrUpdate'
  | 'createOrUpdateIfMatchETag'
  | 'delete'
  | 'deleteIfMatchETag'
  | 'updateTwin'
  | 'updateTwinIfMatchETag';

export interface BulkItem {
  readonly draft: IdentityDraft;
  readonly importMode: ImportMode;
  readonly etag?: string;
}

export interface BulkResult {
  readonly isSuccessful: boolean;
  readonly errors: readonly {
    readonly deviceId: string;
    readonly moduleId?: string;
    readonly errorCode: number;
    readonly errorStatus: string;
  }[];
}

export type WhichKeys = 'primaryKey' | 'secondaryKey' | 'both';

export interface RegistryStatistics {
  readonly totalDeviceCount: number;
  readonly enabledDeviceCount: number;
  readonly disabledDeviceCount: number;
  readonly connectedDeviceCount: number;
}

export interface RegistryParts {
  readonly guard: Guard;
  readonly store: IdentityStore;
  readonly clock: Clock;
  readonly random: Random;
  /** What presence knows. */
  readonly presence: {
    state(key: IdentityKey): Promise<PresenceState>;
    connectedDevices(): Promise<number>;
  };
  /** Commands that wait per identity; absent = a hub without commands. */
  readonly commandDepths?: (keys: readonly IdentityKey[]) => Promise<readonly number[]>;
  /** Default: the service's. */
  readonly limits?: Partial<RegistryLimits>;
}

export function createRegistry(parts: RegistryParts): Guarded<Registry> {
  const { guard, store, clock, presence } = parts;
  const registryLimits: RegistryLimits = {
    devicesMax: parts.limits?.devicesMax ?? limits.devicesMax,
    modulesPerDeviceMax: parts.limits?.modulesPerDeviceMax ?? limits.modulesPerDeviceMax,
  };
  const writing = { store, random: parts.random, limits: registryLimits };

  const views = async (identities: readonly Identity[]): Promise<readonly IdentityView[]> => {
    const keys = identities.map(keyOf);
    const [states, depths] = await Promise.all([
      Promise.all(keys.map((key) => presence.state(key))),
      parts.commandDepths?.(keys),
    ]);
    return identities.map((identity, at) => ({
      ...identity,
      ...states[at],
      cloudToDeviceMessageCount: depths?.[at] ?? 0,
    }));
  };

  const single = async (wish: Wish): Promise<Identity> => {
    const [result] = await carryOut([wish], writing, clock.now());
    if (result instanceof HubError) throw result;
    return result;
  };

  const scopes = edgeScopeReads(store);

  const room: Registry = {
    async get(_principal, key) {
      const identity = await store.get(key);
      if (identity === undefined && key.moduleId !== undefined) {
        const device = await store.get({ deviceId: key.deviceId });
        throw notFound(device === undefined ? { deviceId: key.deviceId } : key);
      }
      if (identity === undefined) throw notFound(key);
      return (await views([identity]))[0];
    },
    async list(_principal, top = limits.listPageMax) {
      const isInRange = Number.isInteger(top) && top >= 1 && top <= limits.listPageMax;
      return views(await store.listDevices({ limit: isInRange ? top : limits.listPageMax }));
    },
    async listModules(_principal, deviceId) {
      if ((await store.get({ deviceId })) === undefined) throw notFound({ deviceId });
      return views(await store.listModules(deviceId));
    },
    async put(_principal, draft, ifMatch) {
      const kind = ifMatch === undefined ? 'create' : 'replace';
      return (await views([await single({ kind, draft, ifMatch: ifMatch ?? '*' })]))[0];
    },
    async delete(_principal, key, ifMatch = '*') {
      await single({ kind: 'delete', draft: keyOf(key), ifMatch });
    },
    async bulk(_principal, items) {
      const now = clock.now();
      return runBulk(items, (wishes) => carryOut(wishes, writing, now));
    },
    regenerateKeys: (_principal, which, keys) => regenerateKeys(which, keys, writing, clock.now()),
    async unseenSince(_principal, time, top) {
      let [devices, unseen] = [0, 0];
      const deviceIds: string[] = [];
      let page = await store.listDevices({ limit: limits.listPageMax });
      while (page.length > 0) {
        const enabled = page.filter(({ status }) => status === 'enabled');
        const states = await Promise.all(enabled.map(({ deviceId }) => presence.state({ deviceId })));
        devices += enabled.length;
        for (const [at, { lastActivityTime }] of states.entries()) {
          if (lastActivityTime >= time) continue;
          unseen++;
          if (deviceIds.length < top) deviceIds.push(enabled[at].deviceId);
        }
        page = await store.listDevices({ after: page[page.length - 1].deviceId, limit: limits.listPageMax });
      }
      return { devices, unseen, deviceIds };
    },
    async listInScope(...args) {
      const { devices, modules, next } = await scopes.list(...args);
      return { devices: await views(devices), modules: await views(modules), ...(next !== undefined && { next }) };
    },
    async getInScope(...args) {
      const { devices, modules } = await scopes.get(...args);
      return { devices: await views(devices), modules: await views(modules) };
    },
    async statistics(_principal) {
      const [counts, connected] = await Promise.all([store.counts(), presence.connectedDevices()]);
      return {
        totalDeviceCount: counts.devices,
        enabledDeviceCount: counts.enabled,
        disabledDeviceCount: counts.disabled,
        connectedDeviceCount: connected,
      };
    },
  };
  return guard.room(room, registryCalls);
}
