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
