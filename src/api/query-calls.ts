/** Calls of queries. */
import { type ApiTransport, exchange } from './exchange.ts';
import { type ExplanationJson, explanationSchema, type QueryRowJson, queryRowsSchema } from './queries.ts';

export interface QueryPageJson {
  readonly rows: readonly QueryRowJson[];
  /** `Twin` or `Raw`. */
  readonly itemType: string;
  /** For the next page, with the same query; absent = this is the last one. */
  readonly continuation?: string;
}

export interface QueryCalls {
  /** One page, of 100 rows unless told. */
  page(query: string, options?: { readonly countMax?: number; readonly continuation?: string }): Promise<QueryPageJson>;
  /** How the first page is found: the same work, without its rows. */
  explain(query: string, options?: { readonly countMax?: number }): Promise<ExplanationJson>;
  /** All rows, page by page. */
  rows(query: string, options?: { readonly countMax?: number }): AsyncIterable<QueryRowJson>;
}

export function queryCalls(transport: ApiTransport): QueryCalls {
  const page: QueryCalls['page'] = async (query, { countMax, continuation } = {}) => {
    const headers = {
      ...(countMax !== undefined && { 'x-ms-max-item-count': String(countMax) }),
      ...(continuation !== undefined && { 'x-ms-continuation': continuation }),
    };
    const answer = await exchange(transport, queryRowsSchema, 'POST', '/devices/query', { body: { query }, headers });
    const next = answer.headers['x-ms-continuation'];
    return {
      rows: answer.data,
      itemType: answer.headers['x-ms-item-type'] ?? '',
      ...(next !== undefined && { continuation: next }),
    };
  };
  return {
    page,
    async explain(query, { countMax } = {}) {
      const headers = { ...(countMax !== undefined && { 'x-ms-max-item-count': String(countMax) }) };
      const extra = { body: { query }, headers, query: { explain: '' } };
      return (await exchange(transport, explanationSchema, 'POST', '/devices/query', extra)).data;
    },
    async *rows(query, { countMax } = {}) {
      let continuation: string | undefined;
      do {
        const each = await page(query, {
          ...(countMax !== undefined && { countMax }),
          ...(continuation !== undefined && { continuation }),
        });
        yield* each.rows;
        continuation = each.continuation;
      } while (continuation !== undefined);
    },
  };
}
