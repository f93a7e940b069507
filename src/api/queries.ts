/** Queries of the fleet in the JSON of the service's REST API (query reference 1). */
import { z } from 'zod';
import { foreignObject } from './foreign-object.ts';

/** Body of POST /devices/query. */
export const queryRequestSchema = z.looseObject({
  query: z.string().nullish().describe('as SELECT * FROM devices WHERE tags.site = "north"'),
});

/** Whole twins, or what the query selects of them. */
export const queryRowsSchema = z.array(foreignObject);
export type QueryRowJson = z.output<typeof queryRowsSchema>[number];

/** Query string of POST /devices/query. */
export const queryOptionsSchema = z.looseObject({
  explain: z.string().optional().describe('in place of the rows, how they are found'),
});

/** How a page of a query is found. */
export const explanationSchema = z.looseObject({
  summary: z.string(),
  way: z.looseObject({ kind: z.string().describe('names, prefix, index or scan') }),
  looked: z.number().describe('rows of the collection that were looked at'),
  read: z.number().describe('rows that the database gave'),
  found: z.number().describe('rows of the answer'),
  isWhole: z.boolean().describe('false = the page was full before the end, or its time was over'),
  wholeTwins: z.boolean(),
  ms: z.number(),
  database: z.array(z.string()).describe('what the database says of it'),
  advice: z.array(z.string()),
});
export type ExplanationJson = z.output<typeof explanationSchema>;

/** Query string of GET /mooring/v1/query/live. */
export const liveQuerySchema = z.looseObject({
  query: z.string().describe('as SELECT deviceId, tags FROM devices WHERE tags.site = "north": without groups and TOP'),
});

const place = { deviceId: z.string(), moduleId: z.string().optional() };

/** The data of each kind of event of a live query. */
export const liveDataSchemas = {
  reset: z.looseObject({ why: z.string() }),
  enter: z.looseObject({ ...place, row: foreignObject }),
  change: z.looseObject({ ...place, row: foreignObject }),
  leave: z.looseObject(place),
  ready: z.looseObject({ rows: z.number() }),
  end: z.looseObject({ code: z.string(), message: z.string() }),
};
