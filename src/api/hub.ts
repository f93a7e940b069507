/** What Azure manages outside of its hub API and this hub offers under `/mooring/v1/`: facts and consumer groups. */
import { z } from 'zod';

const partition = z.object({
  id: z.string(),
  /** Oldest sequence number that is still kept. */
  firstSequenceNumber: z.number().int(),
  /** `firstSequenceNumber - 1` when the partition is empty. */
  lastSequenceNumber: z.number().int(),
  /** ISO 8601, UTC; `0001-01-01T00:00:00` when nothing was ever enqueued. */
  lastEnqueuedTime: z.string(),
});

const eventHub = z.object({
  /** `EntityPath` of a connection string. */
  name: z.string(),
  createdTime: z.string(),
  partitions: z.array(partition),
});

/** GET /mooring/v1/hub */
export const hubFactsSchema = z.object({
  name: z.string(),
  /** The first is the one that the hub shows to users. */
  hostNames: z.array(z.string()),
  eventHubs: z.array(eventHub),
});
export type HubFacts = z.output<typeof hubFactsSchema>;

/** One consumer group; PUT and GET under /mooring/v1/event-hubs/{name}/consumer-groups */
export const consumerGroupSchema = z.object({ name: z.string(), createdTime: z.string() });
export type ConsumerGroupJson = z.output<typeof consumerGroupSchema>;

/** Every refusal of the API, form A of service reference 3.1; the header `iothub-errorcode` names the same code. */
export const errorBodySchema = z.object({
  /** `ErrorCode:{name};{text}` */
  Message: z.string(),
  /** `Tracking ID:{32 hexadecimal digits}-G:{n}-TimeStamp:{MM/dd/yyyy HH:mm:ss}`; the log carries the same id. */
  ExceptionMessage: z.string(),
});
export type ErrorBody = z.output<typeof errorBodySchema>;
