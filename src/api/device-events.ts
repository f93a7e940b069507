/** What the monitoring stream has of one device, explained; this hub's own, under /mooring/v1. */
import { z } from 'zod';

const looked = {
  /** Events before this were not looked at (ISO 8601, UTC); absent = everything that is kept was. */
  lookedSince: z.string().optional(),
};

const place = {
  moduleId: z.string().optional(),
  protocol: z.string().optional(),
  /** Address, as `monitoringPeer` allows. */
  peer: z.string().optional(),
};

/** GET /mooring/v1/refusals?deviceId= */
export const refusalsSchema = z.object({
  refusals: z.array(
    z.object({
      /** Of the last one; ISO 8601, UTC. */
      time: z.string(),
      /** Alike ones that are told together. */
      count: z.number().int(),
      type: z.enum(['authenticationFailed', 'operationRefused', 'throttled']),
      /** The check that failed, or the code of the refusal. */
      code: z.string(),
      operation: z.string().optional(),
      reason: z.string().optional(),
      /** `backEnd`: a back end asked for something of the device; it says nothing of the device's own connections. */
      by: z.enum(['device', 'backEnd']),
      /** Of a back end. */
      policyName: z.string().optional(),
      ...place,
      /** What it means, and what to do. */
      sentence: z.string(),
      remedy: z.string(),
    }),
  ),
  ...looked,
});
export type RefusalsJson = z.output<typeof refusalsSchema>;

/** GET /mooring/v1/connections?deviceId= */
export const connectionEventsSchema = z.object({
  events: z.array(
    z.object({
      time: z.string(),
      type: z.enum(['connected', 'disconnected']),
      reason: z.string().optional(),
      detail: z.string().optional(),
      credential: z.string().optional(),
      /** Joins the two events of one connection. */
      correlationId: z.string().optional(),
      ...place,
    }),
  ),
  ...looked,
});
export type ConnectionEventsJson = z.output<typeof connectionEventsSchema>;
