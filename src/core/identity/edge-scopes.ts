/**
 * IoT Edge devices and their children (twins reference 6). An edge device has a scope, made of its id and generation; a child
 * names the scope of its parent: an edge device in `parentScopes`, any other one in `deviceScope`, which `parentScopes` repeats.
 */
import { limits } from '../../base/limits.ts';
import { HubError } from '../errors.ts';
import type { IdentityStore } from './ports.ts';
import type { IdentityDraft } from './registry-room.ts';
import type { Identity } from './types.ts';

const PREFIX = 'ms-azure-iot-edge://';
const SCOPE = /^ms-azure-iot-edge:\/\/(.+)-(\d+)$/;

export type Scopes = Pick<Identity, 'deviceScope' | 'parentScopes'>;

/** The scope of an edge device. */
export function scopeOf({ deviceId, generationId }: Pick<Identity, 'deviceId' | 'generationId'>): string {
  return `${PREFIX}${deviceId}-${generationId}`;
}

/**
 * What the draft of a device says of its place among edge devices; whether the parent exists is for `checkParent`.
 * @param current what is stored: SDKs send back all that they have read, so what differs from it is what is wished
 * @throws HubError InvalidDeviceScope
 */
export function scopesFor(draft: IdentityDraft, generationId: string, current: Scopes | undefined): Scopes {
  const { deviceId } = draft;
  const parents = draft.parentScopes?.filter((scope) => scope !== '');
  const given = draft.deviceScope ?? undefined;
  const isOwn = given !== undefined && SCOPE.exec(given)?.[1] === deviceId;
  if (draft.capabilities?.iotEdge === true) {
    if (given !== undefined && given !== '' && !isOwn) {
      throw invalid(
        "The deviceScope of an edge device is its own and cannot be changed; its parent's is a parentScope.",
      );
    }
    return { deviceScope: scopeOf({ deviceId, generationId }), parentScopes: parents ?? [] };
  }
  const scope = parentOf(isOwn ? undefined : given, parents && (parents[0] ?? ''), current?.deviceScope ?? '');
  return scope === '' ? { deviceScope: null, parentScopes: [] } : { deviceScope: scope, parentScopes: [scope] };
}

/** Which parent is meant where it can be said twice; '' = none. */
function parentOf(byScope: string | undefined, byParents: string | undefined, stored: string): string {
  if (byScope === undefined || byScope === byParents) return byParents ?? '';
  if (byParents === undefined || byParents === stored) return byScope;
  if (byScope === stored) return byParents;
  throw invalid('The deviceScope and the parentScopes name different parents.');
}

/**
 * Whether the parent that an identity names is an edge device of this hub. One that it has had before stays, whatever became
 * of it: else nothing else of the identity could be changed.
 * @throws HubError InvalidDeviceScope
 */
export async function checkParent(
  identity: Identity,
  current: Scopes | undefined,
  store: IdentityStore,
): Promise<void> {
  let [scope] = identity.parentScopes;
  if (scope === undefined || scope === current?.parentScopes[0]) return;
  for (let depth = 1; scope !== undefined; depth++) {
    if (depth > limits.edgeNestingMax) throw invalid(`Edge devices are nested at most ${limits.edgeNestingMax} deep.`);
    const parent: Identity | undefined = await edgeWithScope(scope, store);
    if (parent === undefined) {
      if (depth > 1) return;
      throw invalid('The scope is not that of an edge device of this hub.');
    }
    if (parent.deviceId === identity.deviceId) throw invalid('An edge device cannot be below itself.');
    [scope] = parent.parentScopes;
  }
}

/** The edge device that has this scope now. */
export async function edgeWithScope(scope: string, store: IdentityStore): Promise<Identity | undefined> {
  const deviceId = SCOPE.exec(scope)?.[1];
  if (deviceId === undefined) return undefined;
  const found = await store.get({ deviceId });
  return found?.capabilities.iotEdge === true && found.deviceScope === scope ? found : undefined;
}

function invalid(message: string): HubError {
  return new HubError('InvalidDeviceScope', message);
}
