/**
 * What the runtime of an edge device may read of the registry: itself, what is below it, and the modules of each (twins reference 6).
 * Which way down its request names (an "auth chain") is not believed: the registry itself says who is below whom.
 */
import { limits } from '../../base/limits.ts';
import { HubError } from '../errors.ts';
import { edgeWithScope, scopeOf } from './edge-scopes.ts';
import type { IdentityStore } from './ports.ts';
import type { InScope, Registry } from './registry-room.ts';
import { notFound } from './registry-writes.ts';
import type { Identity, IdentityKey, Principal } from './types.ts';

type Found = { readonly [Part in 'devices' | 'modules']: readonly Identity[] } & Pick<InScope, 'next'>;

export interface EdgeScopeReads {
  list(...args: Parameters<Registry['listInScope']>): Promise<Found>;
  get(...args: Parameters<Registry['getInScope']>): Promise<Found>;
}

export function edgeScopeReads(store: IdentityStore): EdgeScopeReads {
  /** The edge device whose runtime asks. Who speaks for it by a policy's key gets no keys of others. */
  const edgeOf = async (principal: Principal, { deviceId, moduleId }: IdentityKey): Promise<Identity> => {
    const isOwn = principal.kind === 'device' && principal.authScope !== 'hub' && moduleId === '$edgeHub';
    const device = isOwn ? await store.get({ deviceId }) : undefined;
    if (device?.capabilities.iotEdge === true) return device;
    throw new HubError('IotHubUnauthorizedAccess', 'Only $edgeHub of an edge device may ask.', {
      reason: 'missing-permission',
    });
  };

  /** Whether `device` is `edge`, or in its scope, or in that of an edge device below it. */
  const isWithin = async (device: Identity, edge: Identity): Promise<boolean> => {
    let at: Identity | undefined = device;
    // A leaf lies below as many edge devices as may be nested.
    for (let depth = 0; depth <= limits.edgeNestingMax && at !== undefined; depth++) {
      if (at.deviceId === edge.deviceId) return true;
      const [scope]: readonly string[] = at.parentScopes;
      at = scope === undefined ? undefined : await edgeWithScope(scope, store);
    }
    return false;
  };

  /** The edge device on whose behalf is asked: the one that asks, or one below it. */
  const targetOf = async (edge: Identity, deviceId: string | undefined): Promise<Identity> => {
    if (deviceId === undefined || deviceId === edge.deviceId) return edge;
    const target = await store.get({ deviceId });
    if (target?.capabilities.iotEdge === true && (await isWithin(target, edge))) return target;
    throw new HubError('IotHubUnauthorizedAccess', `The edge device ${deviceId} is not below the one that asks.`, {
      reason: 'missing-permission',
    });
  };

  return {
    async list(principal, edgeHub, { after, limit }, behalf) {
      const edge = await targetOf(await edgeOf(principal, edgeHub), behalf);
      const children = await store.listChildren(scopeOf(edge), { limit, ...(after !== undefined && { after }) });
      const devices = after === undefined ? [edge, ...children] : children;
      const modules: Identity[] = [];
      for (const { deviceId } of devices) modules.push(...(await store.listModules(deviceId)));
      const next = children.length < limit ? undefined : children[children.length - 1].deviceId;
      return { devices, modules, ...(next !== undefined && { next }) };
    },
    async get(principal, edgeHub, { deviceId, moduleId }, behalf) {
      const edge = await targetOf(await edgeOf(principal, edgeHub), behalf);
      const device = await store.get({ deviceId });
      if (device === undefined || !(await isWithin(device, edge))) throw notFound({ deviceId });
      const module = moduleId === undefined ? undefined : await store.get({ deviceId, moduleId });
      if (moduleId !== undefined && module === undefined) throw notFound({ deviceId, moduleId });
      return { devices: [device], modules: module === undefined ? [] : [module] };
    },
  };
}
