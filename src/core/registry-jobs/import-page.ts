/**
 * Carries out one page of an import. Each line stands for itself; what is there already just as the line has it stays untouched, so that
 * a file may be imported again. A page that a crash has interrupted is done again: what it had done by then is no error.
 */
import { limits } from '../../base/limits.ts';
import type { Random } from '../../base/random.ts';
import { errorTable, HubError } from '../errors.ts';
import type { IdentityStore } from '../identity/ports.ts';
import type { IdentityDraft } from '../identity/registry-room.ts';
import { carryOut, keyOf, notFound, type RegistryLimits, type Wish } from '../identity/registry-writes.ts';
import { buildIdentity } from '../identity/rules.ts';
import type { Identity } from '../identity/types.ts';
import type { ImportItem } from './device-line.ts';
import type { ImportTwins } from './import-twins.ts';
import { deviceOfScope } from './passes.ts';

/** A line that was read, or why it could not be. */
export interface PageEntry {
  readonly line: number;
  readonly named: { readonly deviceId?: string; readonly moduleId?: string };
  readonly item: ImportItem | HubError;
}

export interface PageParts {
  readonly store: IdentityStore;
  readonly twins: ImportTwins;
  readonly random: Random;
  readonly limits: RegistryLimits;
}

export interface PageOutcome {
  readonly unchanged: number;
  readonly failed: number;
  /** Lines of `importErrors.log`. */
  readonly errors: string;
}

type Outcome = { readonly identity: Identity | undefined; readonly kind: 'created' | 'changed' | 'same' | 'deleted' };

/**
 * @param entries of which no two name the same identity
 * @param isRepeat whether a part of it may have been done already
 */
export async function importPage(
  entries: readonly PageEntry[],
  isRepeat: boolean,
  parts: PageParts,
  now: number,
): Promise<PageOutcome> {
  const outcomes: (Outcome | HubError)[] = new Array(entries.length);
  const work: { readonly at: number; readonly item: ImportItem; readonly current: Identity | undefined }[] = [];
  await Promise.all(
    entries.map(async ({ item }, at) => {
      if (item instanceof HubError) outcomes[at] = item;
      else {
        // What is only created is not looked for: nearly every line of a file that is imported for the first time.
        const current = mayCreate(item) && !isRepeat ? undefined : await known(item, parts.store);
        work.push({ at, item: await withLocalScopes(item, parts.store), current });
      }
    }),
  );
  work.sort((a, b) => a.at - b.at);
  let left = work;
  for (let round = 0; left.length > 0 && round < 2; round++) {
    const wishes = left.map(({ item, current }) => wishOf(item, current, isRepeat, parts.random, now));
    const valid = wishes.filter((wish): wish is Wish => !(wish instanceof HubError) && 'draft' in wish);
    const results = (await carryOut(valid, parts, now)).values();
    const again: typeof left = [];
    for (const [nth, { at, item, current }] of left.entries()) {
      const wish = wishes[nth];
      if (wish instanceof HubError) outcomes[at] = wish;
      else if (!('draft' in wish)) outcomes[at] = wish;
      else {
        const result = results.next().value as Identity | HubError;
        if (result instanceof HubError && round === 0 && mayReplace(item, wish, result)) {
          again.push({ at, item, current: await known(item, parts.store) });
        } else outcomes[at] = outcomeOf(result, wish, current);
      }
    }
    left = again;
  }
  for (const [at, failure] of await twinFailures(entries, outcomes, parts.twins, isRepeat, now)) outcomes[at] = failure;
  return summed(entries, outcomes);
}

function outcomeOf(result: Identity | HubError, wish: Wish, current: Identity | undefined): Outcome | HubError {
  if (result instanceof HubError) return result;
  if (wish.kind === 'delete') return { identity: undefined, kind: 'deleted' };
  return { identity: result, kind: wish.kind === 'create' || current === undefined ? 'created' : 'changed' };
}

/** A wish for the registry; an outcome where nothing is left to do. */
function wishOf(
  item: ImportItem,
  current: Identity | undefined,
  isRepeat: boolean,
  random: Random,
  now: number,
): Wish | Outcome | HubError {
  const { mode, etag } = item;
  const same = (): boolean => current !== undefined && isSame(item.draft, current, random, now);
  const unchanged = { identity: current, kind: 'same' } as const;
  const draft = current === undefined ? item.draft : keepingKeys(item.draft, current);
  const conditional = mode.endsWith('IfMatchETag');
  if (mode !== 'createOrUpdateIfMatchETag' && mode !== 'updateTwinIfMatchETag' && conditional && !etag) {
    return new HubError('ArgumentNull', `${mode} needs an eTag.`);
  }
  try {
    switch (mode) {
      case 'create':
        return isRepeat && same() ? unchanged : { kind: 'create', draft, ifMatch: '*' };
      case 'createOrUpdate':
        if (current === undefined) return { kind: 'create', draft, ifMatch: '*' };
        return same() ? unchanged : { kind: 'createOrReplace', draft, ifMatch: '*' };
      case 'createOrUpdateIfMatchETag':
        return isRepeat && same() ? unchanged : { kind: 'createOrReplace', draft, ifMatch: etag ?? '' };
      case 'update':
        return same() ? unchanged : { kind: 'replace', draft, ifMatch: '*' };
      case 'updateIfMatchETag':
        return isRepeat && same() ? unchanged : { kind: 'replace', draft, ifMatch: etag ?? '' };
      case 'delete':
      case 'deleteIfMatchETag':
        if (isRepeat && current === undefined) return { identity: undefined, kind: 'deleted' };
        return { kind: 'delete', draft, ifMatch: mode === 'delete' ? '*' : (etag ?? '') };
      case 'updateTwin':
      case 'updateTwinIfMatchETag':
        if (item.twin === undefined) return new HubError('ArgumentNull', `${mode} needs tags or properties.`);
        return current === undefined ? notFound(item.draft) : unchanged;
    }
  } catch (error) {
    if (error instanceof HubError) return error;
    throw error;
  }
}

const mayCreate = ({ mode }: ImportItem): boolean => mode === 'create' || mode === 'createOrUpdate';

/** It was to be created and is there: it is looked at again. */
function mayReplace({ mode }: ImportItem, wish: Wish, { code }: HubError): boolean {
  const isThere = code === 'DeviceAlreadyExists' || code === 'ModuleAlreadyExistsOnDevice';
  return mode === 'createOrUpdate' && wish.kind === 'create' && isThere;
}

/** An id that is none is refused by the rules later. */
async function known({ draft }: ImportItem, store: IdentityStore): Promise<Identity | undefined> {
  return store.get(keyOf(draft));
}

/** Keys that a line leaves out are not made anew: the device has its own. */
function keepingKeys(draft: IdentityDraft, current: Identity): IdentityDraft {
  const { authentication, ...others } = draft;
  const { primaryKey, secondaryKey } = authentication?.symmetricKey ?? {};
  const { primaryThumbprint, secondaryThumbprint } = authentication?.x509Thumbprint ?? {};
  const isSas = (authentication?.type ?? (primaryThumbprint || secondaryThumbprint ? 'selfSigned' : 'sas')) === 'sas';
  const { symmetricKey: own } = current.authentication;
  if (!isSas || own === null || (primaryKey && secondaryKey)) return draft;
  if (!primaryKey && !secondaryKey) return others;
  const symmetricKey = {
    primaryKey: primaryKey || own.primaryKey,
    secondaryKey: secondaryKey || own.secondaryKey,
  };
  return { ...draft, authentication: { ...authentication, symmetricKey } };
}

/** Whether the identity would be just what it is. @throws HubError ArgumentInvalid, InvalidDeviceScope */
function isSame(draft: IdentityDraft, current: Identity, random: Random, now: number): boolean {
  const wanted = buildIdentity(keepingKeys(draft, current), random, now, current);
  const facts = ({ etag: _etag, statusUpdatedTime: _time, generationId: _generation, ...others }: Identity): string =>
    JSON.stringify(others, Object.keys(others).sort().concat(innerNames));
  return facts(wanted) === facts(current);
}

/** Members of an identity's members: a list of names orders and chooses those of all levels. */
const innerNames = [
  ...['type', 'symmetricKey', 'x509Thumbprint', 'primaryKey', 'secondaryKey'],
  ...['primaryThumbprint', 'secondaryThumbprint', 'iotEdge'],
];

/**
 * The scope of an edge device holds its generation, so that another hub's is not this one's: what is meant is the edge device of that id
 * here. Its own scope an edge device gets from this hub.
 */
async function withLocalScopes(item: ImportItem, store: IdentityStore): Promise<ImportItem> {
  const { deviceScope, parentScopes, ...others } = item.draft;
  if (item.draft.moduleId !== undefined || (deviceScope == null && parentScopes === undefined)) return item;
  const local = async (scope: string): Promise<string> => {
    const deviceId = deviceOfScope(scope);
    const parent = deviceId === undefined ? undefined : await store.get({ deviceId });
    return parent?.capabilities.iotEdge === true ? (parent.deviceScope ?? scope) : scope;
  };
  const isOwn = deviceScope != null && deviceOfScope(deviceScope) === item.draft.deviceId;
  const draft = {
    ...others,
    ...(deviceScope != null && !isOwn && { deviceScope: await local(deviceScope) }),
    ...(parentScopes !== undefined && { parentScopes: await Promise.all(parentScopes.map(local)) }),
  };
  return { ...item, draft };
}

/** Twins follow their identities. @returns by place, what could not be taken */
async function twinFailures(
  entries: readonly PageEntry[],
  outcomes: readonly (Outcome | HubError)[],
  twins: ImportTwins,
  isRepeat: boolean,
  now: number,
): Promise<readonly (readonly [number, HubError])[]> {
  const wanted = entries.flatMap(({ item }, at) => {
    const outcome = outcomes[at];
    if (item instanceof HubError || item.twin === undefined || outcome instanceof HubError) return [];
    const { identity, kind } = outcome;
    return identity === undefined ? [] : [{ at, item, identity, isNew: kind === 'created' && !isRepeat }];
  });
  const failures: (readonly [number, HubError])[] = [];
  for (let from = 0; from < wanted.length; from += limits.registryJobTwinsAtOnce) {
    const some = wanted.slice(from, from + limits.registryJobTwinsAtOnce);
    const found = await twins.take(some, now);
    for (const [nth, failure] of found.entries()) {
      if (failure === undefined) continue;
      const { at, item } = some[nth];
      const text = item.mode.startsWith('updateTwin')
        ? failure.message
        : `Only its twin was not taken: ${failure.message}`;
      failures.push([at, new HubError(failure.code, text)]);
    }
  }
  return failures;
}

function summed(entries: readonly PageEntry[], outcomes: readonly (Outcome | HubError)[]): PageOutcome {
  let [unchanged, failed, errors] = [0, 0, ''];
  for (const [at, outcome] of outcomes.entries()) {
    if (outcome instanceof HubError) {
      failed++;
      errors += `${errorLine(entries[at], outcome)}\n`;
    } else if (outcome.kind === 'same') unchanged++;
  }
  return { unchanged, failed, errors };
}

/** The form of a bulk request's errors, with the line. */
export function errorLine({ line, named }: Pick<PageEntry, 'line' | 'named'>, error: HubError): string {
  const { number } = errorTable[error.code];
  return JSON.stringify({ line, ...named, errorCode: number, errorStatus: error.message });
}
