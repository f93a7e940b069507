/** POST /mooring/v1/devices/bulk: one change for many devices, and the lines of its progress; this hub's own. */
import { z } from 'zod';
import { limits } from '../base/limits.ts';

export const bulkChangeSchema = z
  .strictObject({
    action: z.enum(['enable', 'disable', 'delete']),
    /** In the query language, as behind WHERE; `*` for all devices. */
    condition: z.string().min(1).optional(),
    ids: z.array(z.string().min(1).max(limits.identityIdCharsMax)).min(1).max(limits.bulkChangeIdsMax).optional(),
    statusReason: z.string().max(limits.statusReasonCharsMax).optional(),
  })
  .refine(({ condition, ids }) => (condition === undefined) !== (ids === undefined), {
    error: 'holds either a condition or ids',
  });
export type BulkChange = z.output<typeof bulkChangeSchema>;

/** One line. `done` and `failed` are of all pages so far, `failures` of the last one. */
export const bulkProgressSchema = z.object({
  /** As counted at the beginning. */
  total: z.number().int(),
  done: z.number().int(),
  failed: z.number().int(),
  failures: z.array(z.object({ deviceId: z.string(), code: z.string(), message: z.string() })),
  /** The last line; with a code where the change has stopped before its end. */
  ended: z.literal(true).optional(),
  code: z.string().optional(),
  message: z.string().optional(),
});
export type BulkProgress = z.output<typeof bulkProgressSchema>;
