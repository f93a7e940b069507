import { limits } from '../../base/limits.ts';
import { errorTable, HubError } from '../errors.ts';
import { identityName } from './permissions.ts';
import type { BulkItem, BulkResult } from './registry-room.ts';
import type { Wish } from './registry-writes.ts';
import type { Identity } from './types.ts';

/**
 * One bulk request (service reference 2.4): refused as a whole for its size or for an identity named twice; else each
 * item stands for itself, and those that fail are listed.
 * @throws HubError ArgumentInvalid, DeviceDefinedMultipleTimes
 */
export async function runBulk(
  items: readonly BulkItem[],
  carryOut: (wishes: readonly Wish[]) => Promise<readonly (Identity | HubError)[]>,
): Promise<BulkResult> {
  if (items.length === 0 || items.length > limits.bulkIdentitiesMax) {
    throw new HubError('ArgumentInvalid', `A bulk request holds 1 to ${limits.bulkIdentitiesMax} identities.`);
  }
  if (new Set(items.map((item) => identityName(item.draft))).size < items.length) {
    throw new HubError('DeviceDefinedMultipleTimes');
  }
  const wishes = items.map(wishOf);
  const valid = wishes.filter((wish) => !(wish instanceof HubError)) as readonly Wish[];
  const outcomes = (await carryOut(valid)).values();
  const errors: BulkResult['errors'][number][] = [];
  for (const [at, wish] of wishes.entries()) {
    const outcome = wish instanceof HubError ? wish : outcomes.next().value;
    if (outcome instanceof HubError) errors.push(itemError(items[at], outcome));
  }
  return { isSuccessful: errors.length === 0, errors };
}

function wishOf(item: BulkItem): Wish | HubError {
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
      return new HubError('OperationNotAvailable', 'This hub changes no twins in bulk: PATCH each one.');
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

function itemError(item: BulkItem, error: HubError): BulkResult['errors'][number] {
  const { deviceId, moduleId } = item.draft;
  return {
    deviceId,
    ...(moduleId === undefined ? {} : { moduleId }),
    errorCode: errorTable[error.code].number,
    errorStatus: error.message,
  };
}
