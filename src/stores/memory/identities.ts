import { identityName } from '../../core/identity/permissions.ts';
import type {
  IdentityChange,
  IdentityCounts,
  IdentityStore,
  IdentityWrite,
  IdentityWriteOutcome,
} from '../../core/identity/ports.ts';
import type { Identity, IdentityKey } from '../../core/identity/types.ts';

export interface MemoryIdentityStore extends IdentityStore {
  /** What is stored now. */
  peek(key: IdentityKey): Identity | undefined;
}

/** Identities in memory: a real store for tests and the simulation; nothing of it outlives the process. */
export function createMemoryIdentityStore(): MemoryIdentityStore {
  const devices = new Map<string, Identity>();
  const modules = new Map<string, Map<string, Identity>>();
  const listeners = new Set<(change: IdentityChange) => void>();
  let sortedIds: string[] | undefined;

  const find = (key: IdentityKey): Identity | undefined =>
    key.moduleId === undefined ? devices.get(key.deviceId) : modules.get(key.deviceId)?.get(key.moduleId);

  const keep = (identity: Identity): void => {
    if (identity.moduleId === undefined) {
      devices.set(identity.deviceId, identity);
      return;
    }
    const siblings = modules.get(identity.deviceId) ?? new Map<string, Identity>();
    siblings.set(identity.moduleId, identity);
    modules.set(identity.deviceId, siblings);
  };

  const tell = (
    kind: IdentityChange['kind'],
    identity: Identity,
    more?: Pick<IdentityChange, 'statusChanged'>,
  ): void => {
    for (const listener of listeners) listener({ kind, identity, ...more });
  };

  const missing = (key: IdentityKey): IdentityWriteOutcome =>
    key.moduleId !== undefined && !devices.has(key.deviceId) ? { kind: 'deviceNotFound' } : { kind: 'notFound' };

  const create = (identity: Identity, countMax: number): IdentityWriteOutcome => {
    const { deviceId, moduleId } = identity;
    if (moduleId !== undefined && !devices.has(deviceId)) return { kind: 'deviceNotFound' };
    if (find(identity) !== undefined) return { kind: 'exists' };
    const count = moduleId === undefined ? devices.size : (modules.get(deviceId)?.size ?? 0);
    if (count >= countMax) return { kind: 'full' };
    keep(identity);
    if (moduleId === undefined) sortedIds = undefined;
    tell('created', identity);
    return { kind: 'done', identity };
  };

  const replace = (wanted: Identity, ifMatch: string): IdentityWriteOutcome => {
    const stored = find(wanted);
    if (stored === undefined) return missing(wanted);
    if (ifMatch !== '*' && ifMatch !== stored.etag) return { kind: 'etagMismatch' };
    const identity: Identity = {
      ...wanted,
      generationId: stored.generationId,
      statusUpdatedTime: stored.status === wanted.status ? stored.statusUpdatedTime : wanted.statusUpdatedTime,
    };
    keep(identity);
    tell('replaced', identity, { statusChanged: stored.status !== identity.status });
    return { kind: 'done', identity };
  };

  const remove = (key: IdentityKey, ifMatch: string): IdentityWriteOutcome => {
    const stored = find(key);
    if (stored === undefined) return missing(key);
    if (ifMatch !== '*' && ifMatch !== stored.etag) return { kind: 'etagMismatch' };
    if (key.moduleId !== undefined) {
      modules.get(key.deviceId)?.delete(key.moduleId);
    } else {
      const owned = inOrder(modules.get(key.deviceId)?.values() ?? []);
      modules.delete(key.deviceId);
      devices.delete(key.deviceId);
      sortedIds = undefined;
      for (const module of owned) tell('deleted', module);
    }
    tell('deleted', stored);
    return { kind: 'done', identity: stored };
  };

  const apply = (write: IdentityWrite): IdentityWriteOutcome => {
    switch (write.kind) {
      case 'create':
        return create(write.identity, write.countMax);
      case 'replace':
        return replace(write.identity, write.ifMatch);
      case 'delete':
        return remove(write.key, write.ifMatch);
    }
  };

  return {
    peek: find,
    get: async (key) => find(key),
    async listDevices(page) {
      sortedIds ??= [...devices.keys()].sort();
      const ids = sortedIds;
      const from = page.after === undefined ? 0 : firstBehind(ids, page.after);
      return ids.slice(from, from + page.limit).map((id) => devices.get(id)!);
    },
    listModules: async (deviceId) => inOrder(modules.get(deviceId)?.values() ?? []),
    async listChildren(scope, { after = '', limit }) {
      const children = [...devices.values()].filter(
        ({ deviceId, parentScopes }) => deviceId > after && parentScopes[0] === scope,
      );
      return inOrder(children).slice(0, limit);
    },
    async counts(): Promise<IdentityCounts> {
      let enabled = 0;
      for (const device of devices.values()) if (device.status === 'enabled') enabled++;
      return { devices: devices.size, enabled, disabled: devices.size - enabled };
    },
    write: async (writes) =>
      writes.map((write) => {
        const outcome = apply(write);
        if (outcome.kind === 'done' && write.kind !== 'delete') {
          for (const module of write.modules ?? []) create(module, Number.POSITIVE_INFINITY);
        }
        return outcome;
      }),
    watchOwnWrites(listener) {
      // A wrapper of its own, so that the same function may watch twice and end each watch by itself.
      const own = (change: IdentityChange): void => listener(change);
      listeners.add(own);
      return () => listeners.delete(own);
    },
  };
}

function inOrder(identities: Iterable<Identity>): readonly Identity[] {
  return [...identities].sort((a, b) => (identityName(a) < identityName(b) ? -1 : 1));
}

/** Index of the first id that sorts behind `after`. */
function firstBehind(ids: readonly string[], after: string): number {
  let low = 0;
  let high = ids.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (ids[middle] <= after) low = middle + 1;
    else high = middle;
  }
  return low;
}
