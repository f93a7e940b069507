import { z } from 'zod';

/** GET /mooring/v1/nodes: an item; POST …/nodes/{node}/drain: the answer. */
export const nodeSchema = z.object({
  name: z.string(),
  /** Names this run of it. */
  id: z.string(),
  /** Where other nodes reach it. */
  address: z.string(),
  port: z.number(),
  /** Of the program. */
  version: z.string(),
  startedTime: z.string(),
  status: z.enum(['serving', 'draining']),
  /** Devices and modules that are connected there, some seconds old. */
  devices: z.number(),
  /** How much longer its lease lasts. */
  leaseMs: z.number(),
  /** It is the one that has answered. */
  answering: z.boolean(),
});
export type NodeJson = z.output<typeof nodeSchema>;
