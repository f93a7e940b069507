/** Configurations and Edge deployments in the JSON of the service's REST API (query reference 4). */
import { z } from 'zod';
import { foreignObject } from './foreign-object.ts';

const content = z
  .looseObject({
    deviceContent: foreignObject.nullish(),
    moduleContent: foreignObject.nullish(),
    modulesContent: foreignObject.nullish(),
  })
  .describe('paths that begin with properties.desired and their values; of modulesContent by module');
const queries = z.record(z.string(), z.string());

/** Body of PUT /configurations/{id}: other members are ignored, because SDKs send back what they have read. */
export const configurationDraftSchema = z.looseObject({
  id: z.string().nullish(),
  schemaVersion: z.string().nullish(),
  labels: z.record(z.string(), z.string()).nullish(),
  content: content
    .nullish()
    .describe('stays as it was created: null or absent in a change is that of the configuration'),
  targetCondition: z
    .string()
    .nullish()
    .describe("*, a condition as tags.site = 'north', or FROM devices.modules WHERE …"),
  priority: z.number().int().nullish(),
  metrics: z.looseObject({ queries: queries.nullish() }).nullish(),
});
export type ConfigurationDraftJson = z.input<typeof configurationDraftSchema>;

const metrics = z.object({ results: z.record(z.string(), z.number().int()), queries });

export const configurationSchema = z.object({
  id: z.string(),
  schemaVersion: z.string(),
  labels: z.record(z.string(), z.string()),
  content,
  targetCondition: z.string(),
  createdTimeUtc: z.string(),
  lastUpdatedTimeUtc: z.string(),
  priority: z.number().int(),
  systemMetrics: metrics.describe('the hub counts them as twins change; the queries can be asked for'),
  metrics,
  etag: z.string(),
  evaluated: z.boolean().describe('whether all devices and modules have been looked at since the last change of it'),
});
export type ConfigurationJson = z.output<typeof configurationSchema>;

/** Body of POST /configurations/testQueries. */
export const testedQueriesSchema = z.looseObject({
  targetCondition: z.string().nullish(),
  customMetricQueries: queries.nullish(),
});

export const testedErrorsSchema = z.object({
  targetConditionError: z.string().nullable(),
  customMetricQueryErrors: queries,
});
export type TestedErrorsJson = z.output<typeof testedErrorsSchema>;

/** Body of POST /devices/{id}/applyConfigurationContent. */
export const appliedContentSchema = content;
