/** Work on many devices: in batches, told as it goes on, and never more than a batch beyond a `cancel`. */
import { Refusal } from '../../api.ts';
import { BULK_MAX, type BulkItem, bulk, changeMany, MANY_MAX, type ManyAction, queryPage } from '../../devices.ts';
import { type Filter, queryOf } from './filter.ts';
import type { Row } from './rows.ts';

export interface Progress {
  readonly done: number;
  readonly total: number;
  readonly failures: readonly { readonly id: string; readonly why: string }[];
}

const PAGE = 1000;
const AT_ONCE = 2;

/** Ids of all devices that match, whether a page has shown them or not. */
export async function idsOf(filter: Filter, signal: AbortSignal, told: (count: number) => void): Promise<string[]> {
  const ids: string[] = [];
  for await (const row of rowsOf<{ deviceId: string }>(queryOf(filter, 'deviceId').text, signal)) {
    ids.push(row.deviceId);
    if (ids.length % PAGE === 0) told(ids.length);
  }
  return ids;
}

async function* rowsOf<T>(query: string, signal: AbortSignal): AsyncGenerator<T> {
  let continuation: string | undefined;
  do {
    const page = await queryPage<T>(query, { size: PAGE, continuation, signal });
    yield* page.rows;
    continuation = page.continuation;
  } while (continuation !== undefined);
}

/** Changes each id, in batches. A batch that fails as a whole counts as failed, and the others go on. */
export async function changeAll(
  ids: readonly string[],
  item: (id: string) => BulkItem,
  signal: AbortSignal,
  told: (progress: Progress) => void,
): Promise<void> {
  let [done, next] = [0, 0];
  const failures: { id: string; why: string }[] = [];
  const lane = async (): Promise<void> => {
    while (next < ids.length && !signal.aborted) {
      const batch = ids.slice(next, next + BULK_MAX);
      next += batch.length;
      try {
        const { errors } = await bulk(batch.map(item));
        failures.push(...errors.map(({ deviceId, errorStatus }) => ({ id: deviceId, why: errorStatus })));
      } catch (error) {
        failures.push(...batch.map((id) => ({ id, why: (error as Error).message })));
      }
      done += batch.length;
      told({ done, total: ids.length, failures: [...failures] });
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
}

/** Enables, disables or deletes. @throws Refusal where the hub has stopped it; what it told before is done */
export async function changeState(
  action: ManyAction,
  ids: readonly string[],
  signal: AbortSignal,
  told: (progress: Progress) => void,
): Promise<void> {
  const failures: { id: string; why: string }[] = [];
  for (let at = 0; at < ids.length; at += MANY_MAX) {
    let stopped: Refusal | undefined;
    let hasEnded = false;
    await changeMany(action, ids.slice(at, at + MANY_MAX), signal, (line) => {
      failures.push(...line.failures.map(({ deviceId, message }) => ({ id: deviceId, why: message })));
      told({ done: at + line.done + line.failed, total: ids.length, failures: [...failures] });
      hasEnded ||= line.ended === true;
      if (line.code !== undefined) stopped = new Refusal(line.message ?? line.code, { status: 200, code: line.code });
    });
    if (stopped !== undefined) throw stopped;
    if (!hasEnded) throw new Refusal('The hub has gone before the change was done.', { status: 0, code: 'NoAnswer' });
  }
}

/** All that match as lines of CSV (RFC 4180), for spreadsheets. */
export async function csvOf(filter: Filter, signal: AbortSignal, told: (count: number) => void): Promise<string[]> {
  const items =
    'deviceId, status, connectionState, lastActivityTime, authenticationType, cloudToDeviceMessageCount, tags';
  const lines = [`${items.split(', ').join(',')}\r\n`];
  for await (const row of rowsOf<Row>(queryOf(filter, items).text, signal)) {
    const cells = [
      row.deviceId,
      row.status,
      row.connectionState,
      row.lastActivityTime.startsWith('0001-') ? '' : row.lastActivityTime,
      row.authenticationType,
      String(row.cloudToDeviceMessageCount),
      row.tags === undefined ? '' : JSON.stringify(row.tags),
    ];
    lines.push(`${cells.map(csvCell).join(',')}\r\n`);
    if (lines.length % PAGE === 0) told(lines.length);
  }
  return lines;
}

/** A spreadsheet takes a cell that begins so for a formula, and would run what a device is called. */
export function csvCell(text: string): string {
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
