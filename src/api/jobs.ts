/** Jobs in the JSON of the service's REST API (query reference 2). */
import { z } from 'zod';
import { methodRequestSchema, twinChangeSchema } from './twins.ts';

export const jobTypeSchema = z.enum(['scheduleUpdateTwin', 'scheduleDeviceMethod']);
export const jobStatusSchema = z.enum(['scheduled', 'queued', 'running', 'completed', 'failed', 'cancelled']);

/** Body of PUT /jobs/v2/{id}. */
export const jobRequestSchema = z.looseObject({
  jobId: z.string().nullish(),
  type: z.string().describe('scheduleUpdateTwin or scheduleDeviceMethod'),
  updateTwin: twinChangeSchema.nullish().describe('what is merged into tags and desired properties of each'),
  cloudToDeviceMethod: methodRequestSchema.nullish(),
  queryCondition: z.string().nullish().describe('a condition, *, or FROM devices.modules WHERE …'),
  startTime: z.string().nullish().describe('ISO 8601; null or past = now'),
  maxExecutionTimeInSeconds: z.number().nullish().describe('3600 unless told'),
});
export type JobRequestJson = z.input<typeof jobRequestSchema>;

const count = z.number().int();

export const jobSchema = z.object({
  jobId: z.string(),
  queryCondition: z.string(),
  createdTime: z.string(),
  startTime: z.string(),
  endTime: z.string().optional(),
  maxExecutionTimeInSeconds: z.number(),
  type: z.enum([...jobTypeSchema.options, 'import', 'export']),
  status: z.enum([...jobStatusSchema.options, 'unknown']).describe('unknown: an import or export, see /jobs/{jobId}'),
  updateTwin: z.looseObject({}).optional(),
  cloudToDeviceMethod: z.looseObject({}).optional(),
  failureReason: z.string().optional(),
  deviceJobStatistics: z.object({
    deviceCount: count,
    /** With those of `unknownCount`. */
    failedCount: count,
    succeededCount: count,
    runningCount: count,
    pendingCount: count,
    cancelledCount: count,
    unknownCount: count.describe('may have been asked, and what they did is not known'),
  }),
});
export type JobJson = z.output<typeof jobSchema>;

export const jobsSchema = z.array(jobSchema);

export const jobListQuery = z.object({ jobType: z.string().optional(), jobStatus: z.string().optional() });
