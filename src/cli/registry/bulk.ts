import { randomBytes } from 'node:crypto';
import type { ApiClient } from '../../api/client.ts';
import type { BulkItemJson } from '../../api/identities.ts';
import { limits } from '../../base/limits.ts';
import { Failure } from '../failure.ts';

/** Bulk requests that run at the same time: enough to hide the way there and back, few enough to leave room for others. */
const BULK_REQUESTS_AT_ONCE = 4;

/** `prefix` and a number from 1 on, with as many digits as the largest needs: they sort as they count. */
export function numberedIds(prefix: string, count: number): readonly string[] {
  const digits = String(count).length;
  return Array.from({ length: count }, (_, at) => prefix + String(at + 1).padStart(digits, '0'));
}

/** A fresh symmetric key, made here where the caller needs to know it without asking for it again. */
export function freshKey(): string {
  return randomBytes(limits.keyBytesGenerated).toString('base64');
}

export interface BulkOutcome {
  readonly done: number;
  readonly errors: readonly { readonly deviceId: string; readonly errorCode: number; readonly errorStatus: string }[];
}

export interface BulkWatch {
  /** Told after each request how many items have been answered in all, and which ids of this request succeeded. */
  readonly onAnswered?: (answered: number, succeeded: readonly string[]) => void;
  /** Aborted = no further request begins. */
  readonly stop?: AbortSignal;
}

/**
 * Sends any number of bulk items, in requests of the size that the hub takes, several at a time. Items fail one by one;
 * a request that fails as a whole (network, refusal) ends it.
 */
export async function bulk(
  api: ApiClient,
  items: readonly BulkItemJson[],
  { onAnswered, stop }: BulkWatch = {},
): Promise<BulkOutcome> {
  const errors: BulkOutcome['errors'][number][] = [];
  let answered = 0;
  let next = 0;
  let failed = false;
  const worker = async (): Promise<void> => {
    while (next < items.length && stop?.aborted !== true && !failed) {
      const batch = items.slice(next, next + limits.bulkIdentitiesMax);
      next += batch.length;
      try {
        const result = await api.devices.bulk(batch);
        errors.push(...result.errors);
        answered += batch.length;
        const refused = new Set(result.errors.map((error) => error.deviceId));
        onAnswered?.(
          answered,
          batch.map((item) => item.id).filter((id) => !refused.has(id)),
        );
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  const ends = await Promise.allSettled(Array.from({ length: BULK_REQUESTS_AT_ONCE }, worker));
  for (const end of ends) if (end.status === 'rejected') throw end.reason;
  return { done: answered - errors.length, errors };
}

/** What to say when items of a bulk request failed: how many, and the first few with their reasons. */
export function bulkFailure(verb: string, total: number, { done, errors }: BulkOutcome): Failure {
  const first = errors.slice(0, 3).map((error) => error.errorStatus);
  const more = errors.length > first.length ? ` (and ${errors.length - first.length} more)` : '';
  return new Failure(`${errors.length} of ${total} devices could not be ${verb}: ${first.join(' ')}${more}`, {
    code: 'BulkRegistryOperationFailure',
    hint: done === 0 ? undefined : `The other ${done} were.`,
  });
}
