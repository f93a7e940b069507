import type { ApiClient } from '../../api/client.ts';
import { type BulkWatch, bulk, bulkFailure, freshKey } from '../registry/bulk.ts';
import type { DeviceIdentity } from './device.ts';

/** Number of the hub's refusal of an id that exists already (service reference 3.3). */
const DEVICE_ALREADY_EXISTS = 409001;
const DEVICE_NOT_FOUND = 404001;
const KEY_REQUESTS_AT_ONCE = 8;

/**
 * Creates the devices with keys made here; those that exist already keep theirs, which the hub is asked for.
 * @param watch Is told of the ids that were created, also when this fails half-way: they are to be cleaned up.
 * @throws Failure when some could not be created.
 */
export async function createIdentities(
  api: ApiClient,
  ids: readonly string[],
  watch: BulkWatch,
): Promise<readonly DeviceIdentity[]> {
  const keys = new Map(ids.map((id) => [id, freshKey()]));
  const items = [...keys].map(([id, primaryKey]) => ({
    id,
    importMode: 'create' as const,
    authentication: { type: 'sas' as const, symmetricKey: { primaryKey, secondaryKey: freshKey() } },
  }));
  const outcome = await bulk(api, items, watch);
  const failed = outcome.errors.filter((error) => error.errorCode !== DEVICE_ALREADY_EXISTS);
  if (failed.length > 0) throw bulkFailure('created', ids.length, { ...outcome, errors: failed });
  const existing = outcome.errors.map((error) => error.deviceId);
  await readKeys(api, existing, keys, watch.stop);
  return [...keys].map(([id, key]) => ({ id, key }));
}

async function readKeys(api: ApiClient, ids: string[], keys: Map<string, string>, stop?: AbortSignal): Promise<void> {
  const worker = async (): Promise<void> => {
    for (let id = ids.pop(); id !== undefined && stop?.aborted !== true; id = ids.pop()) {
      const { symmetricKey } = (await api.devices.get(id)).authentication;
      if (symmetricKey.primaryKey !== null) keys.set(id, symmetricKey.primaryKey);
    }
  };
  await Promise.all(Array.from({ length: KEY_REQUESTS_AT_ONCE }, worker));
}

/** Deletes devices; one that is gone already is no error. @throws Failure when some could not be deleted. */
export async function deleteIdentities(api: ApiClient, ids: readonly string[], watch: BulkWatch): Promise<void> {
  const outcome = await bulk(
    api,
    ids.map((id) => ({ id, importMode: 'delete' as const })),
    watch,
  );
  const failed = outcome.errors.filter((error) => error.errorCode !== DEVICE_NOT_FOUND);
  if (failed.length > 0) throw bulkFailure('deleted', ids.length, { ...outcome, errors: failed });
}
