/** Which devices a change of many concerns, page by page, and what is done with a page. */
import { z } from 'zod';
import type { BulkChange, BulkFailure } from '../../api/bulk-change.ts';
import { limits } from '../../base/limits.ts';
import { asHubError, errorCodeOf, type HubError } from '../../core/errors.ts';
import type { Hub } from '../../core/hub.ts';
import type { BulkItem } from '../../core/identity/registry-room.ts';
import type { Principal } from '../../core/identity/types.ts';
import { readTwinChange } from '../../core/twins/rules.ts';

export type BulkHub = Pick<Hub, 'registry' | 'queries'>;

/** `*` = all devices. */
const where = (condition: string): string => (condition === '*' ? '' : ` WHERE ${condition}`);

const counted = z.array(z.object({ n: z.number() }));
const named = z.array(z.object({ deviceId: z.string() }));

const idsOf = (condition: string): string => `SELECT deviceId FROM devices${where(condition)}`;

/**
 * It shows what cannot be read, and what is more than a condition (GROUP BY), while it can still be refused.
 * @throws HubError ArgumentInvalid
 */
export async function countOf(
  { queries }: Pick<BulkHub, 'queries'>,
  principal: Principal,
  condition: string,
  signal: AbortSignal,
): Promise<number> {
  await queries.page(principal, idsOf(condition), { countMax: 1 }, signal);
  const { text } = await queries.page(principal, `SELECT COUNT() AS n FROM devices${where(condition)}`, {}, signal);
  return counted.parse(JSON.parse(text))[0]?.n ?? 0;
}

export async function* idPages(
  { queries }: Pick<BulkHub, 'queries'>,
  principal: Principal,
  { ids, condition = '*' }: BulkChange,
  signal: AbortSignal,
): AsyncGenerator<readonly string[]> {
  if (ids !== undefined) {
    for (let at = 0; at < ids.length; at += limits.bulkIdentitiesMax) {
      yield ids.slice(at, at + limits.bulkIdentitiesMax);
    }
    return;
  }
  let continuation: string | undefined;
  do {
    const options = { countMax: limits.bulkIdentitiesMax, ...(continuation !== undefined && { continuation }) };
    const page = await queries.page(principal, idsOf(condition), options, signal);
    const found = named.parse(JSON.parse(page.text)).map(({ deviceId }) => deviceId);
    if (found.length > 0) yield found;
    continuation = page.continuation;
  } while (continuation !== undefined && !signal.aborted);
}

/** The merge that `tags` ask for. @throws HubError ArgumentInvalid, MessageTooLarge */
export function tagsOf({ tags }: BulkChange) {
  return readTwinChange(Buffer.from(JSON.stringify({ tags })), 'merge');
}

/** What of a page has failed; the rest of it is done. @throws HubError where all of it is refused */
export async function changePage(
  { registry }: BulkHub,
  principal: Principal,
  change: BulkChange,
  ids: readonly string[],
): Promise<readonly BulkFailure[]> {
  const { action } = change;
  if (action === 'enable' || action === 'disable') return setStatus(registry, principal, change, ids);
  const itemOf: Readonly<Record<typeof action, (deviceId: string) => BulkItem>> = {
    delete: (deviceId) => ({ draft: { deviceId }, importMode: 'delete' }),
    create: (deviceId) => ({ draft: { deviceId }, importMode: 'create' }),
    tag: (deviceId) => ({ draft: { deviceId }, importMode: 'updateTwin', twin: tagsOf(change) }),
  };
  return carryOut(registry, principal, ids.map(itemOf[action]));
}

/** Everything else of a device stays as it is, and so does the reason of its status where none is given. */
async function setStatus(
  registry: BulkHub['registry'],
  principal: Principal,
  { action, statusReason }: BulkChange,
  ids: readonly string[],
): Promise<readonly BulkFailure[]> {
  const status = action === 'enable' ? 'enabled' : 'disabled';
  const found = await Promise.all(
    ids.map((deviceId) => registry.get(principal, { deviceId }).catch((error: unknown) => ({ deviceId, error }))),
  );
  const failures: BulkFailure[] = [];
  const items: BulkItem[] = [];
  for (const one of found) {
    if ('error' in one) failures.push(failureOf(one.deviceId, asHubError(one.error)));
    else if (one.status !== status) {
      const { deviceId, etag, capabilities, deviceScope, parentScopes } = one;
      const reason = statusReason ?? one.statusReason ?? null;
      const draft = { deviceId, status, statusReason: reason, capabilities, deviceScope, parentScopes } as const;
      items.push({ draft, importMode: 'updateIfMatchETag', etag });
    }
  }
  return items.length === 0 ? failures : [...failures, ...(await carryOut(registry, principal, items))];
}

async function carryOut(
  registry: BulkHub['registry'],
  principal: Principal,
  items: readonly BulkItem[],
): Promise<readonly BulkFailure[]> {
  const { errors } = await registry.bulk(principal, items);
  return errors.map(({ deviceId, errorCode, errorStatus }) => ({
    ...{ deviceId, code: errorCodeOf(errorCode) ?? String(errorCode), message: errorStatus },
  }));
}

const failureOf = (deviceId: string, { code, message }: HubError): BulkFailure => ({ deviceId, code, message });
