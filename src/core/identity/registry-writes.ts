/**
 * From what a back end wishes to what the store does. A wish may need more than one round: "create or replace" tries the
 * one and then the other, and a replacement that keeps the stored credentials must meet exactly the state they were read
 * from. Each round is one call of the store for all wishes that are left.
 */
import type { Random } from '../../base/random.ts';
import { HubError } from '../errors.ts';
import { checkParent } from './edge-scopes.ts';
import { identityName } from './permissions.ts';
import type { IdentityStore, IdentityWrite, IdentityWriteOutcome } from './ports.ts';
import type { IdentityDraft } from './registry-room.ts';
import { buildIdentity, checkIdentityKey } from './rules.ts';
import type { Identity, IdentityKey } from './types.ts';

export interface Wish {
  readonly kind: 'create' | 'replace' | 'createOrReplace' | 'delete';
  readonly draft: IdentityDraft;
  /** `*` or an ETag; not looked at by `create`. */
  readonly ifMatch: string;
}

export interface RegistryLimits {
  readonly devicesMax: number;
  readonly modulesPerDeviceMax: number;
}

/** Rounds until another client's changes in between count as a failed precondition. */
const ROUNDS_MAX = 5;

/** Of no identity: who has it as `ifMatch` replaces nothing. */
const NO_ETAG = '';

interface Attempt {
  readonly at: number;
  readonly wish: Wish;
  readonly write: IdentityWrite;
}

/** The outcome of each wish, in order: the identity (for a deletion the last state), or why not. */
export async function carryOut(
  wishes: readonly Wish[],
  parts: { readonly store: IdentityStore; readonly random: Random; readonly limits: RegistryLimits },
  now: number,
): Promise<readonly (Identity | HubError)[]> {
  const results: (Identity | HubError)[] = [];
  let left = wishes.map((wish, at) => ({ at, wish, last: undefined as IdentityWriteOutcome | undefined }));
  for (let round = 1; left.length > 0; round++) {
    const attempts: Attempt[] = [];
    for (const { at, wish, last } of left) {
      try {
        attempts.push({ at, wish, write: await writeFor(wish, last, parts, now) });
      } catch (error) {
        if (!(error instanceof HubError) || !draftRefusals.has(error.code)) throw error;
        results[at] = error;
      }
    }
    const outcomes = attempts.length === 0 ? [] : await parts.store.write(attempts.map((attempt) => attempt.write));
    left = [];
    for (const [nth, { at, wish, write }] of attempts.entries()) {
      const outcome = outcomes[nth];
      if (outcome.kind === 'done') results[at] = outcome.identity;
      else if (round < ROUNDS_MAX && mayTryAgain(wish, write, outcome)) left.push({ at, wish, last: outcome });
      else results[at] = refusal(outcome, wish.draft, parts.limits);
    }
  }
  return results;
}

async function writeFor(
  wish: Wish,
  last: IdentityWriteOutcome | undefined,
  parts: { readonly store: IdentityStore; readonly random: Random; readonly limits: RegistryLimits },
  now: number,
): Promise<IdentityWrite> {
  const { draft, ifMatch } = wish;
  checkIdentityKey(draft);
  if (wish.kind === 'delete') {
    await checkNotReserved(draft, parts.store);
    return { kind: 'delete', key: keyOf(draft), ifMatch };
  }
  const isCreation = wish.kind === 'create' || (wish.kind === 'createOrReplace' && last?.kind !== 'exists');
  if (isCreation) {
    const { devicesMax, modulesPerDeviceMax } = parts.limits;
    const countMax = draft.moduleId === undefined ? devicesMax : modulesPerDeviceMax;
    const created = buildIdentity(draft, parts.random, 0);
    await checkParent(created, undefined, parts.store);
    return { kind: 'create', identity: created, countMax, modules: modulesWith(created, parts.random) };
  }
  // What is kept, or is compared with what is there.
  const dependsOnCurrent = draft.authentication === undefined || concernsEdge(draft);
  const current = dependsOnCurrent ? await parts.store.get(keyOf(draft)) : undefined;
  const identity = buildIdentity(draft, parts.random, now, current);
  await checkParent(identity, current, parts.store);
  // What was read must meet the state it was read from. Who was not there has none to keep: created
  // meanwhile, it must not get the new ones in place of those that its creator was told.
  const whatWasRead = dependsOnCurrent ? (current?.etag ?? NO_ETAG) : '*';
  const modules = modulesWith(identity, parts.random);
  return { kind: 'replace', identity, ifMatch: ifMatch === '*' ? whatWasRead : ifMatch, modules };
}

/** Modules that every edge device has: its runtime logs in as them. */
const RUNTIME: readonly string[] = ['$edgeAgent', '$edgeHub'];

/**
 * The service calls these modules reserved, and refuses to change their twins by this name; that it refuses their deletion the
 * same way is concluded from that. Their twins can be changed here, because nothing else configures a runtime yet.
 * @throws HubError SystemModuleModifyUnauthorizedAccess
 */
async function checkNotReserved({ deviceId, moduleId }: IdentityKey, store: IdentityStore): Promise<void> {
  if (moduleId === undefined || !RUNTIME.includes(moduleId)) return;
  if ((await store.get({ deviceId }))?.capabilities.iotEdge !== true) return;
  throw new HubError('SystemModuleModifyUnauthorizedAccess', `The module ${moduleId} goes with its edge device only.`);
}

/** The modules that come with an edge device; of other devices and modules none. */
function modulesWith({ deviceId, moduleId, capabilities }: Identity, random: Random): readonly Identity[] {
  if (moduleId !== undefined || !capabilities.iotEdge) return [];
  return RUNTIME.map((name) => buildIdentity({ deviceId, moduleId: name, managedBy: 'IotEdge' }, random, 0));
}

function concernsEdge({ capabilities, deviceScope, parentScopes }: IdentityDraft): boolean {
  return (
    capabilities?.iotEdge === true || deviceScope != null || (parentScopes !== undefined && parentScopes.length > 0)
  );
}

/** What a draft can be refused for; each item of a bulk request stands for itself. */
const draftRefusals: ReadonlySet<string> = new Set([
  'ArgumentInvalid',
  'InvalidDeviceScope',
  'SystemModuleModifyUnauthorizedAccess',
]);

function mayTryAgain(wish: Wish, write: IdentityWrite, outcome: IdentityWriteOutcome): boolean {
  if (wish.kind === 'createOrReplace' && outcome.kind === (write.kind === 'create' ? 'exists' : 'notFound'))
    return true;
  return outcome.kind === 'etagMismatch' && wish.ifMatch === '*';
}

function refusal(
  outcome: Exclude<IdentityWriteOutcome, { kind: 'done' }>,
  key: IdentityKey,
  limits: RegistryLimits,
): HubError {
  const isDevice = key.moduleId === undefined;
  const name = identityName(key);
  switch (outcome.kind) {
    case 'exists':
      return isDevice
        ? new HubError('DeviceAlreadyExists', `The device ${name} exists already.`)
        : new HubError('ModuleAlreadyExistsOnDevice', `The module ${name} exists already.`);
    case 'notFound':
      return notFound(key);
    case 'deviceNotFound':
      return notFound({ deviceId: key.deviceId });
    case 'etagMismatch':
      return new HubError('PreconditionFailed', `${name} has changed: the ETag is not the current one.`);
    case 'full': {
      const max = isDevice ? limits.devicesMax : limits.modulesPerDeviceMax;
      const hit = isDevice
        ? { name: 'devicesMax', scope: 'hub', current: max, max }
        : { name: 'modulesPerDeviceMax', scope: `device ${key.deviceId}`, current: max, max };
      return new HubError(isDevice ? 'TooManyDevices' : 'TooManyModulesOnDevice', undefined, { limit: hit });
    }
  }
}

export function notFound(key: IdentityKey): HubError {
  return key.moduleId === undefined
    ? new HubError('DeviceNotFound', `The device ${key.deviceId} does not exist.`)
    : new HubError('ModuleNotFound', `The module ${identityName(key)} does not exist.`);
}

export function keyOf({ deviceId, moduleId }: IdentityKey): IdentityKey {
  return moduleId === undefined ? { deviceId } : { deviceId, moduleId };
}
