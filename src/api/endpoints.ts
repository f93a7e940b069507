/** `endpoints.json`, which a running hub writes into its data folder: where it listens and how to log in. */
import { z } from 'zod';

const port = z.number().int().nullable();

export const endpointsSchema = z.object({
  hubName: z.string(),
  hostName: z.string(),
  /** Null = not served. */
  ports: z.object({ mqtts: port, amqps: port, https: port, admin: port, amqp: port, mqtt: port }),
  caFile: z.string(),
  /** The hub in a browser; null = not served, absent = the hub is older than that. */
  portalUrl: z.string().nullable().optional(),
  connectionStrings: z.object({
    iothubowner: z.string(),
    service: z.string(),
    device: z.string(),
    registryRead: z.string(),
    registryReadWrite: z.string(),
    eventHubs: z.string(),
    eventHubsEmulator: z.string(),
    monitoring: z.string(),
    monitoringEmulator: z.string(),
  }),
});
export type Endpoints = z.output<typeof endpointsSchema>;
