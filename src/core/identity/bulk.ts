import { limits } from '../../base/limits.ts';
import { asHubError, errorTable, HubError } from '../errors.ts';
import type { TwinChange } from '../twins/types.ts';
import { identityName } from './permissions.ts';
import type { BulkItem, BulkResult, ImportMode } from './registry-room.ts';
import type { Wish } from './registry-writes.ts';
import type { Identity, IdentityKey, Principal } from './types.ts';

/** As the room of twins changes one, which asks whether the caller may, and tells of a refusal. */
export type ChangeTwin = (
  principal: Principal,
  key: IdentityKey,
  change: TwinChange,
  ifMatch?: string,
) => Promise<unknown>;

type Change = (key: IdentityKey, change: TwinChange, ifMatch?: string) => Promise<unknown>;
type BulkError = BulkResult['errors'][number];

/** Twins that are changed at a time: the caller has other requests as well. */
const TWINS_AT_ONCE = 16;

/**
 * One bulk request (service reference 2.4): refused as a whole for its size or for an identity named twice; else each
 * item stands for itself, and those that fail are listed. Twins follow when all identities have been seen to.
 * @throws HubError ArgumentInvalid, DeviceDefinedMultipleTimes
 */
export async function runBulk(
  items: readonly BulkItem[],
  carryOut: (wishes: readonly Wish[]) => Promise<readonly (Identity | HubError)[]>,
  changeTwin: Change | undefined,
): Promise<BulkResult> {
  if (items.length === 0 || items.length > limits.bulkIdentitiesMax) {
    throw new HubError('ArgumentInvalid', `A bulk request holds 1 to ${limits.bulkIdentitiesMax} identities.`);
  }
  if (new Set(items.map((item) => identityName(item.draft))).size < items.length) {
    throw new HubError('DeviceDefinedMultipleTimes');
  }
  const wishes = items.map(wishOf);
  const valid = wishes.filter((wish) => wish !== undefined && !(wish instanceof HubError)) as readonly Wish[];
  const outcomes = (await carryOut(valid)).values();
  const errors: (BulkError | undefined)[] = [];
  const withTwin: number[] = [];
  for (const [at, wish] of wishes.entries()) {
    const outcome = wish === undefined || wish instanceof HubError ? wish : outcomes.next().value;
    if (outcome instanceof HubError) errors[at] = itemError(items[at], outcome);
    else if (items[at].twin !== undefined && !deletes(items[at].importMode)) withTwin.push(at);
  }
  const withoutTwin: BulkResult['withoutTwin'][number][] = [];
  const one = async (at: number): Promise<void> => {
    const failure = await twinFailure(items[at], changeTwin);
    if (failure === undefined) return;
    if (creates(items[at].importMode)) {
      withoutTwin.push({ deviceId: items[at].draft.deviceId, reason: failure.errorStatus });
    } else errors[at] = failure;
  };
  for (let from = 0; from < withTwin.length; from += TWINS_AT_ONCE) {
    await Promise.all(withTwin.slice(from, from + TWINS_AT_ONCE).map(one));
  }
  const failed = errors.filter((error) => error !== undefined);
  return { isSuccessful: failed.length === 0, errors: failed, withoutTwin };
}

/** Undefined = the identity is left as it is. */
function wishOf(item: BulkItem): Wish | HubError | undefined {
  const { draft, importMode, etag } = item;
  switch (importMode) {
    case 'create':
      return { kind: 'create', draft, ifMatch: '*' };
    case 'update':
      return { kind: 'replace', draft, ifMatch: '*' };
    case 'createOrUpdate':
      return { kind: 'createOrReplace', draft, ifMatch: '*' };
    case 'delete':
      return { kind: 'delete', draft, ifMatch: '*' };
    case 'updateIfMatchETag':
      return conditional('replace', item);
    case 'createOrUpdateIfMatchETag':
      return { kind: 'createOrReplace', draft, ifMatch: etag ?? '' };
    case 'deleteIfMatchETag':
      return conditional('delete', item);
    case 'updateTwin':
    case 'updateTwinIfMatchETag':
      return item.twin === undefined
        ? new HubError('ArgumentNull', `${importMode} needs tags or properties.`)
        : undefined;
    default:
      return new HubError('ArgumentInvalid', 'importMode is not one that exists.');
  }
}

function conditional(kind: 'replace' | 'delete', item: BulkItem): Wish | HubError {
  if (item.etag === undefined || item.etag === '') {
    return new HubError('ArgumentNull', `${item.importMode} needs an ETag.`);
  }
  return { kind, draft: item.draft, ifMatch: item.etag };
}

function creates(mode: ImportMode): boolean {
  return mode === 'create' || mode === 'createOrUpdate' || mode === 'createOrUpdateIfMatchETag';
}

function deletes(mode: ImportMode): boolean {
  return mode === 'delete' || mode === 'deleteIfMatchETag';
}

/** Changes the twin of an item. @returns why it was not changed; undefined = it was */
async function twinFailure(item: BulkItem, changeTwin: Change | undefined): Promise<BulkError | undefined> {
  const { draft, importMode, twin } = item;
  // Of an identity's own mode the ETag is the identity's.
  const ifMatch = importMode === 'updateTwinIfMatchETag' ? (item.twinEtag ?? item.etag) : item.twinEtag;
  if (twin === undefined || twin instanceof HubError) return twin && itemError(item, twin);
  if (changeTwin === undefined) return itemError(item, new HubError('OperationNotAvailable'));
  if (importMode === 'updateTwinIfMatchETag' && (ifMatch === undefined || ifMatch === '')) {
    return itemError(item, new HubError('ArgumentNull', `${importMode} needs an ETag.`));
  }
  const { deviceId, moduleId } = draft;
  try {
    await changeTwin(moduleId === undefined ? { deviceId } : { deviceId, moduleId }, twin, ifMatch);
    return undefined;
  } catch (error) {
    return { ...itemError(item, asHubError(error)), isTold: true };
  }
}

function itemError(item: BulkItem, error: HubError): BulkError {
  const { deviceId, moduleId } = item.draft;
  return {
    deviceId,
    ...(moduleId === undefined ? {} : { moduleId }),
    errorCode: errorTable[error.code].number,
    errorStatus: error.message,
  };
}
