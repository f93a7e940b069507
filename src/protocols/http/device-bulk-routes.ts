/**
 * One change for all devices that a condition is true of: enable, disable, delete. The answer is its progress, a line of JSON for
 * each page of devices; it goes on as fast as the client reads, and stops when the client has gone. Tags and properties are
 * changed by jobs, which go on by themselves.
 */
import { z } from 'zod';
import { type BulkChange, type BulkProgress, bulkChangeSchema, bulkProgressSchema } from '../../api/bulk-change.ts';
import { limits } from '../../base/limits.ts';
import { asHubError, errorTable, HubError } from '../../core/errors.ts';
import type { Hub } from '../../core/hub.ts';
import type { BulkItem } from '../../core/identity/registry-room.ts';
import type { Principal } from '../../core/identity/types.ts';
import { type ApiRoute, route } from './route.ts';

type BulkHub = Pick<Hub, 'registry' | 'queries' | 'guard'>;
type Failure = BulkProgress['failures'][number];

export function deviceBulkRoutes(hub: BulkHub): readonly ApiRoute[] {
  let underWay = 0;
  /** Takes a place, until it is left or the client has gone, which may be before anything of the answer is asked for. */
  const place = (signal: AbortSignal): (() => void) => {
    underWay++;
    let isHeld = true;
    const leave = (): void => {
      if (isHeld) underWay--;
      isHeld = false;
    };
    if (signal.aborted) leave();
    else signal.addEventListener('abort', leave, { once: true });
    return leave;
  };
  return [
    route({
      method: 'POST',
      url: '/mooring/v1/devices/bulk',
      summary:
        'Enables, disables or deletes all devices that a condition is true of, or those named. The answer is its progress, ' +
        'as lines of JSON; a client that goes away stops it',
      tag: 'devices',
      body: bulkChangeSchema,
      bodyBounds: { valuesMax: limits.bulkChangeIdsMax + 16 },
      waits: true,
      answers: { 200: 'bytes' },
      handle: async ({ principal, body, signal }) => {
        hub.guard.demand(principal, 'registry.write');
        if (underWay >= limits.bulkChangesMax) {
          throw new HubError('ThrottlingException', `${underWay} such changes are under way already.`, {
            limit: { name: 'bulkChangesMax', scope: 'hub', current: underWay, max: limits.bulkChangesMax },
          });
        }
        const leave = place(signal);
        const pages = idPages(hub, principal, body, signal);
        // The count shows a condition that cannot be read, while it can still be refused.
        let total = body.ids?.length;
        try {
          total ??= await count(hub, principal, body.condition ?? '', signal);
        } catch (error) {
          leave();
          throw error;
        }
        return {
          status: 200,
          stream: progress(hub, principal, body, { total, pages, leave }),
          headers: [
            ['content-type', 'application/x-ndjson; charset=utf-8'],
            ['cache-control', 'no-store'],
            ['x-accel-buffering', 'no'],
          ],
        };
      },
    }),
  ];
}

interface Run {
  readonly total: number;
  readonly pages: AsyncIterable<readonly string[]>;
  leave(): void;
}

async function* progress(
  hub: BulkHub,
  principal: Principal,
  change: BulkChange,
  { total, pages, leave }: Run,
): AsyncGenerator<Uint8Array> {
  const line = (told: BulkProgress): Uint8Array => Buffer.from(`${JSON.stringify(bulkProgressSchema.parse(told))}\n`);
  let [done, failed] = [0, 0];
  try {
    yield line({ total, done, failed, failures: [] });
    for await (const ids of pages) {
      const failures = await changePage(hub, principal, change, ids);
      done += ids.length - failures.length;
      failed += failures.length;
      yield line({ total, done, failed, failures: [...failures] });
    }
    yield line({ total, done, failed, failures: [], ended: true });
  } catch (error) {
    const { code, message } = asHubError(error);
    yield line({ total, done, failed, failures: [], ended: true, code, message });
  } finally {
    leave();
  }
}

async function count(hub: BulkHub, principal: Principal, condition: string, signal: AbortSignal): Promise<number> {
  const query = `SELECT COUNT() AS n FROM devices${where(condition)}`;
  const { text } = await hub.queries.page(principal, query, {}, signal);
  const [row] = z.array(z.object({ n: z.number() })).parse(JSON.parse(text));
  return row?.n ?? 0;
}

/** `*` = all devices. */
const where = (condition = ''): string => (condition === '*' ? '' : ` WHERE ${condition}`);

const rows = z.array(z.object({ deviceId: z.string() }));

async function* idPages(
  hub: BulkHub,
  principal: Principal,
  { ids, condition }: BulkChange,
  signal: AbortSignal,
): AsyncGenerator<readonly string[]> {
  if (ids !== undefined) {
    const unique = [...new Set(ids)];
    for (let at = 0; at < unique.length && !signal.aborted; at += limits.bulkIdentitiesMax) {
      yield unique.slice(at, at + limits.bulkIdentitiesMax);
    }
    return;
  }
  const query = `SELECT deviceId FROM devices${where(condition)}`;
  let continuation: string | undefined;
  do {
    const options = { countMax: limits.bulkIdentitiesMax, ...(continuation !== undefined && { continuation }) };
    const page = await hub.queries.page(principal, query, options, signal);
    const found = rows.parse(JSON.parse(page.text)).map(({ deviceId }) => deviceId);
    if (found.length > 0) yield found;
    continuation = page.continuation;
  } while (continuation !== undefined && !signal.aborted);
}

async function changePage(
  { registry }: BulkHub,
  principal: Principal,
  { action, statusReason }: BulkChange,
  ids: readonly string[],
): Promise<readonly Failure[]> {
  const failures: Failure[] = [];
  const items: BulkItem[] = [];
  if (action === 'delete')
    items.push(...ids.map((deviceId): BulkItem => ({ draft: { deviceId }, importMode: 'delete' })));
  else {
    const status = action === 'enable' ? 'enabled' : 'disabled';
    const found = await Promise.all(
      ids.map((deviceId) => registry.get(principal, { deviceId }).catch((error: unknown) => ({ deviceId, error }))),
    );
    for (const one of found) {
      if ('error' in one) {
        const { code, message } = asHubError(one.error);
        failures.push({ deviceId: one.deviceId, code, message });
      } else if (one.status !== status) {
        const { deviceId, etag, capabilities, deviceScope, parentScopes } = one;
        const draft = {
          deviceId,
          status,
          statusReason: statusReason ?? null,
          capabilities,
          deviceScope,
          parentScopes,
        } as const;
        items.push({ draft, importMode: 'updateIfMatchETag', etag });
      }
    }
  }
  if (items.length === 0) return failures;
  const { errors } = await registry.bulk(principal, items);
  return [
    ...failures,
    ...errors.map(({ deviceId, errorCode, errorStatus }) => ({
      deviceId,
      code: codeOf(errorCode),
      message: errorStatus,
    })),
  ];
}

/** The name of a code, by the number that bulk requests have. */
function codeOf(number: number): string {
  const found = Object.entries(errorTable).find(([, entry]) => entry.number === number);
  return found?.[0] ?? String(number);
}
