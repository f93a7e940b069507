/** The headers by which queries are read page by page (query reference 0 and 1). */
import type http from 'node:http';
import type { ApiAnswer } from './route.ts';

/** An empty one is none. */
export function pageHeader(headers: http.IncomingHttpHeaders, name: string): string | undefined {
  const value = headers[name];
  return typeof value === 'string' && value !== '' ? value : undefined;
}

/** A wish: whatever is no number from 1 on is left to the hub. */
export function pageCount(headers: http.IncomingHttpHeaders): number | undefined {
  const text = pageHeader(headers, 'x-ms-max-item-count');
  return text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : undefined;
}

/** The type is read by its case as well; and at the end the other one must not be there at all. */
export function pageHeaders(itemType: string, continuation: string | undefined): NonNullable<ApiAnswer['headers']> {
  return [
    ['x-ms-item-type', itemType],
    ...(continuation === undefined ? [] : ([['x-ms-continuation', continuation]] as const)),
  ];
}
