/** Routes, endpoints and enrichments in the JSON of `/mooring/v1`. */
import { z } from 'zod';
import { foreignObject } from './foreign-object.ts';

export const routeSchema = z.object({
  name: z.string(),
  source: z.string(),
  condition: z.string(),
  endpoint: z.string(),
  isEnabled: z.boolean(),
});
export type RouteJson = z.output<typeof routeSchema>;

export const enrichmentSchema = z.object({ key: z.string(), value: z.string(), endpoints: z.array(z.string()) });

export const endpointSchema = z
  .looseObject({ name: z.string(), kind: z.string() })
  .describe('with the settings of its kind; secrets are shown as ***, and stay when they are sent back so');
export type EndpointJson = z.output<typeof endpointSchema>;

/** What is in force, and the body that replaces it; `number` is not read. */
export const routesSchema = z.object({
  number: z.number().int().describe('grows with each change; also the ETag'),
  routes: z.array(routeSchema),
  fallback: z.object({ isEnabled: z.boolean(), endpoint: z.string() }),
  enrichments: z.array(enrichmentSchema),
  endpoints: z.array(endpointSchema),
});
export type RoutesJson = z.output<typeof routesSchema>;

export const declarationSchema = z.looseObject({
  routes: z.array(foreignObject).optional(),
  fallback: foreignObject.optional(),
  enrichments: z.array(foreignObject).optional(),
  endpoints: z.array(foreignObject).optional(),
});

export const endpointStateSchema = z.object({
  name: z.string(),
  kind: z.string(),
  health: z.enum(['unknown', 'healthy', 'degraded', 'dead']),
  reason: z.string().describe('why it is not healthy; empty otherwise'),
  since: z.string(),
  lagEvents: z.number().int().describe('events of the log that were not looked at for it yet'),
  lagSeconds: z.number(),
  delivered: z.number().int(),
  refused: z.number().int().describe('events that it will never take: they are dropped'),
  missed: z.number().int().describe('events that retention took before they were delivered'),
});
export type EndpointStateJson = z.output<typeof endpointStateSchema>;

export const endpointStatesSchema = z.object({ endpoints: z.array(endpointStateSchema) });

export const routeTestSchema = z.object({
  source: z.string().optional(),
  deviceId: z.string().optional().describe('whose twin $twin is'),
  moduleId: z.string().optional(),
  properties: z.record(z.string(), z.string().nullable()).optional(),
  systemProperties: z.record(z.string(), z.string()).optional().describe('contentType, messageId and the like'),
  body: z.string().optional(),
  bodyEncoding: z.enum(['text', 'base64']).optional(),
  twin: foreignObject.optional().describe('tags and properties, in place of the twin of the device'),
  route: z.string().optional().describe('only this route'),
  condition: z.string().optional().describe('in place of the routes in force'),
});
export type RouteTestJson = z.input<typeof routeTestSchema>;

export const routeTrialSchema = z.object({
  endpoints: z.array(z.string()),
  byFallback: z.boolean(),
  routes: z.array(z.object({ route: z.string(), endpoint: z.string(), matches: z.boolean(), reason: z.string() })),
});
export type RouteTrialJson = z.output<typeof routeTrialSchema>;
