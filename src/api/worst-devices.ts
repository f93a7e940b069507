/** GET /mooring/v1/worst-devices: the devices to look at first; this hub's own. Times: ISO 8601, UTC. */
import { z } from 'zod';

const happened = z.object({
  deviceId: z.string(),
  count: z.number().int(),
  /** Of the last one. */
  time: z.string(),
  /** `refused`: the check that failed, or the code of the refusal; `dropped`: how the last connection ended. */
  reason: z.string(),
});

export const worstDevicesSchema = z.object({
  /** When this was found: an answer is given again for a while. */
  time: z.string(),
  refused: z
    .array(happened.extend({ sentence: z.string().describe('what the last refusal means') }))
    .describe('those that were refused most often lately, refusals of back ends apart'),
  dropped: z.array(happened).describe('those whose connections broke most often lately'),
  silent: z
    .array(z.object({ deviceId: z.string(), lastActivityTime: z.string() }))
    .describe('enabled devices that have been active, and have not been for the longest time'),
  queues: z
    .array(z.object({ deviceId: z.string(), count: z.number().int() }))
    .describe('those for which most commands wait'),
  /** Events before this were not looked at for `refused` and `dropped`; absent = everything that is kept was. */
  lookedSince: z.string().optional(),
});
export type WorstDevicesJson = z.output<typeof worstDevicesSchema>;
