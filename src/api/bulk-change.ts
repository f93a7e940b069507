/** /mooring/v1/bulk-changes: one change for many devices, which the hub carries out by itself; this hub's own. */
import { z } from 'zod';
import { limits } from '../base/limits.ts';

export const bulkActionSchema = z.enum(['enable', 'disable', 'delete', 'tag', 'create']);
export type BulkAction = z.output<typeof bulkActionSchema>;

/** Body of POST. */
export const bulkChangeSchema = z
  .strictObject({
    action: bulkActionSchema,
    condition: z.string().min(1).optional().describe('in the query language, as behind WHERE; * for all devices'),
    ids: z.array(z.string().min(1).max(limits.identityIdCharsMax)).min(1).max(limits.bulkChangeIdsMax).optional(),
    statusReason: z
      .string()
      .max(limits.statusReasonCharsMax)
      .optional()
      .describe('of enable and disable; absent = each device keeps the one it has'),
    tags: z.unknown().optional().describe('of tag: to be merged into the tags of each twin; null deletes'),
  })
  .refine(({ condition, ids }) => (condition === undefined) !== (ids === undefined), {
    error: 'holds either a condition or ids',
  })
  .refine(({ action, ids }) => action !== 'create' || ids !== undefined, { error: 'names the devices to be created' })
  .refine(({ action, tags }) => (action === 'tag') === (tags !== undefined), { error: 'holds tags with action tag' });
export type BulkChange = z.output<typeof bulkChangeSchema>;

/**
 * `interrupted`: the hub was stopped or killed before its end. `failed`: it could not go on; `code` and `message` say why. Both, and one
 * that was cancelled, can be gone on with.
 */
export const bulkStatusSchema = z.enum(['running', 'completed', 'cancelled', 'failed', 'interrupted']);
export type BulkStatus = z.output<typeof bulkStatusSchema>;

/** How far a change has come, or what became of it. Times: ISO 8601, UTC. */
export const bulkProgressSchema = z.object({
  id: z.string(),
  action: bulkActionSchema,
  condition: z.string().optional().describe('absent = the devices were named'),
  tags: z.unknown().optional(),
  policyName: z.string(),
  status: bulkStatusSchema,
  startTime: z.string(),
  endTime: z.string().optional(),
  total: z.number().int().describe('devices, as counted at the beginning'),
  done: z.number().int(),
  failed: z.number().int(),
  failures: z
    .array(z.object({ deviceId: z.string(), code: z.string(), message: z.string() }))
    .describe(`the first ${limits.bulkChangeFailuresMax}`),
  code: z.string().optional(),
  message: z.string().optional(),
});
export type BulkProgress = z.output<typeof bulkProgressSchema>;
export type BulkFailure = BulkProgress['failures'][number];
