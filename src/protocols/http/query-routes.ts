/** Queries of the fleet over REST (query reference 1). */
import { queryRequestSchema, queryRowsSchema } from '../../api/queries.ts';
import { limits } from '../../base/limits.ts';
import { HubError } from '../../core/errors.ts';
import type { Hub } from '../../core/hub.ts';
import { type ApiRoute, route } from './route.ts';

export function queryRoutes({ queries }: Pick<Hub, 'queries'>): readonly ApiRoute[] {
  return [
    route({
      method: 'POST',
      url: '/devices/query',
      summary:
        'One page of a query of devices or devices.modules. Headers: x-ms-max-item-count (1 to ' +
        `${limits.queryPageMax}, ${limits.queryPageDefault} unless told); x-ms-continuation of the page before, with the same query`,
      tag: 'queries',
      body: queryRequestSchema,
      answers: { 200: queryRowsSchema },
      handle: async ({ principal, body, headers, signal }) => {
        if (body.query === undefined || body.query === null)
          throw new HubError('ArgumentNull', 'The query is missing.');
        const countMax = countOf(headerOf(headers['x-ms-max-item-count']));
        const continuation = headerOf(headers['x-ms-continuation']);
        const options = {
          ...(countMax !== undefined && { countMax }),
          ...(continuation !== undefined && { continuation }),
        };
        const page = await queries.page(principal, body.query, options, signal);
        return {
          status: 200,
          jsonText: page.text,
          headers: [
            // Read by the value's case as well; and at the end the other one must not be there at all.
            ['x-ms-item-type', page.itemType],
            ...(page.continuation === undefined ? [] : ([['x-ms-continuation', page.continuation]] as const)),
          ],
        };
      },
    }),
  ];
}

/** An empty one is none. */
function headerOf(value: string | readonly string[] | undefined): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

/** A wish: whatever is no number from 1 on is left to the hub. */
function countOf(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : undefined;
}
