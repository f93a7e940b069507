/** All devices that match, as CSV: read page by page, and told as it goes on. */
import { queryPage } from '../../devices.ts';
import { type Filter, queryOf } from './filter.ts';
import type { Row } from './rows.ts';

const PAGE = 1000;

async function* rowsOf<T>(query: string, signal: AbortSignal): AsyncGenerator<T> {
  let continuation: string | undefined;
  do {
    const page = await queryPage<T>(query, { size: PAGE, continuation, signal });
    yield* page.rows;
    continuation = page.continuation;
  } while (continuation !== undefined);
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
