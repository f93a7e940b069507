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
