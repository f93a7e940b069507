/** Queries of the fleet over REST (query reference 1). */
import { z } from 'zod';
import { explanationSchema, queryOptionsSchema, queryRequestSchema, queryRowsSchema } from '../../api/queries.ts';
import { limits } from '../../base/limits.ts';
import { HubError } from '../../core/errors.ts';
import type { Hub } from '../../core/hub.ts';
import { pageCount, pageHeader, pageHeaders } from './page-headers.ts';
import { type ApiRoute, route } from './route.ts';

export function queryRoutes({ queries }: Pick<Hub, 'queries'>): readonly ApiRoute[] {
  return [
    route({
      method: 'POST',
      url: '/devices/query',
      summary:
        'One page of a query of devices or devices.modules. Headers: x-ms-max-item-count (1 to ' +
        `${limits.queryPageMax}, ${limits.queryPageDefault} unless told); x-ms-continuation of the page before, with the same query. ` +
        'With ?explain: how the rows are found, in place of them',
      tag: 'queries',
      body: queryRequestSchema,
      query: queryOptionsSchema,
      answers: { 200: z.union([queryRowsSchema, explanationSchema]) },
      handle: async ({ principal, body, query, headers, signal }) => {
        if (body.query === undefined || body.query === null)
          throw new HubError('ArgumentNull', 'The query is missing.');
        const countMax = pageCount(headers);
        const continuation = pageHeader(headers, 'x-ms-continuation');
        const options = {
          ...(countMax !== undefined && { countMax }),
          ...(continuation !== undefined && { continuation }),
        };
        if (query.explain !== undefined && query.explain !== 'false') {
          return { status: 200, body: await queries.explain(principal, body.query, options, signal) };
        }
        const page = await queries.page(principal, body.query, options, signal);
        return {
          status: 200,
          jsonText: page.text,
          headers: pageHeaders(page.itemType, page.continuation),
        };
      },
    }),
  ];
}
