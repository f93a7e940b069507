import { createHmac } from 'node:crypto';
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { Random } from '../../base/random.ts';
import { HubError } from '../errors.ts';
import { type ChangeTwin, runBulk } from './bulk.ts';
import { edgeScopeReads } from './edge-scope-reads.ts';
import type { Guard, Guarded } from './guard.ts';
import type { IdentityStore } from './ports.ts';
import { regenerateKeys } from './regenerate-keys.ts';
import { registryCalls } from './registry-calls.ts';
import type { IdentityView, Registry } from './registry-room.ts';
import { carryOut, keyOf, notFound, type RegistryLimits, type Wish } from './registry-writes.ts';
import type { Identity, IdentityKey, PresenceState } from './types.ts';

/** Part of the interface: a device derives the same (`docs/gateway.md`). */
const SHARED_KEY_PURPOSE = 'mooring psk';

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
  /** Merges into the twin of an identity as that caller; absent = a hub without twins. */
  readonly changeTwin?: ChangeTwin;
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
    async bulk(principal, items) {
      const now = clock.now();
      const identities = (wishes: readonly Wish[]) => carryOut(wishes, writing, now);
      return runBulk(items, identities, parts.changeTwin?.bind(undefined, principal));
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
    async deriveSharedKey(_principal, key) {
      const identity = await store.get(key);
      const device = key.moduleId === undefined ? identity : await store.get({ deviceId: key.deviceId });
      const primaryKey = identity?.authentication.symmetricKey?.primaryKey;
      if (primaryKey === undefined || device?.status !== 'enabled') return undefined;
      return createHmac('sha256', Buffer.from(primaryKey, 'base64')).update(SHARED_KEY_PURPOSE).digest();
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
