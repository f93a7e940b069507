/**
 * Commands to devices and what becomes of them. Purge and receipts have the shapes of the service's REST API (service
 * reference 4.3 and 4.5); sending, dead letters and trails stand under `/mooring/v1` and are this hub's own.
 */
import { z } from 'zod';

export const receiptWishes = ['none', 'positive', 'negative', 'full'] as const;
export type ReceiptWishName = (typeof receiptWishes)[number];

/** How a command ended. */
export const commandOutcomes = ['completed', 'rejected', 'expired', 'deliveryCountExceeded', 'purged'] as const;
export type CommandOutcomeName = (typeof commandOutcomes)[number];

/** ISO 8601 in UTC. */
const time = z.string();

/** Body of POST /mooring/v1/devices/{id}/commands. At most one of the three bodies; none = empty. */
export const commandDraftSchema = z
  .strictObject({
    /** Sent as UTF-8. */
    bodyText: z.string().optional(),
    bodyBase64: z.base64().optional(),
    /** Any JSON value; sent as its text, with content type `application/json` unless another is named. */
    bodyJson: z.unknown().optional(),
    /** Absent = the hub makes one; receipts and trails name it. */
    messageId: z.string().min(1).optional(),
    correlationId: z.string().optional(),
    userId: z.string().optional(),
    contentType: z.string().optional(),
    contentEncoding: z.string().optional(),
    /** Which outcomes a receipt is wanted for; absent = none. */
    ack: z.enum(receiptWishes).optional(),
    /** How long it may wait for the device; absent = the hub's default. Not together with `expiryTimeUtc`. */
    ttlSeconds: z.number().positive().optional(),
    /** Without a zone: UTC. */
    expiryTimeUtc: z.iso.datetime({ offset: true, local: true }).optional(),
    properties: z.record(z.string(), z.string()).optional(),
  })
  .refine((draft) => bodiesOf(draft) <= 1, { error: 'holds more than one of bodyText, bodyBase64, bodyJson' })
  .refine((draft) => draft.ttlSeconds === undefined || draft.expiryTimeUtc === undefined, {
    error: 'holds both ttlSeconds and expiryTimeUtc',
  });
export type CommandDraft = z.input<typeof commandDraftSchema>;

function bodiesOf(draft: {
  readonly bodyText?: unknown;
  readonly bodyBase64?: unknown;
  readonly bodyJson?: unknown;
}): number {
  return [draft.bodyText, draft.bodyBase64, draft.bodyJson].filter((body) => body !== undefined).length;
}

const target = { deviceId: z.string(), moduleId: z.string().optional() };

/** The command is stored. `sequence` is its place in the device's queue, never used again. */
export const sentCommandSchema = z.object({ ...target, sequence: z.number().int(), messageId: z.string().nullable() });
export type SentCommand = z.output<typeof sentCommandSchema>;

/** DELETE /devices/{id}/commands */
export const purgeResultSchema = z.object({ ...target, totalMessagesPurged: z.number().int() });
export type PurgeResult = z.output<typeof purgeResultSchema>;

const command = {
  ...target,
  sequence: z.number().int(),
  messageId: z.string().nullable(),
  correlationId: z.string().optional(),
  userId: z.string().optional(),
  contentType: z.string().optional(),
  contentEncoding: z.string().optional(),
  ack: z.enum(receiptWishes),
  properties: z.record(z.string(), z.string()),
  bodyBase64: z.string(),
  enqueuedTimeUtc: time,
  expiryTimeUtc: time,
  /** Abandons by the device. */
  deliveryCount: z.number().int(),
  /** How often it was handed to the device. */
  handedOver: z.number().int(),
  state: z.enum(['enqueued', 'locked', 'ended']),
  /** Locked: until then a device may settle it. */
  lockedUntilUtc: time.optional(),
  /** Ended: how, and when. */
  outcome: z.enum(commandOutcomes).optional(),
  endedTimeUtc: time.optional(),
};

/** A command as the hub keeps it. */
export const commandSchema = z.object(command);
export type CommandJson = z.output<typeof commandSchema>;

/** Newest first. `isComplete` is false when older ones were left out for the length of the answer. */
export const deadLettersSchema = z.object({ commands: z.array(commandSchema), isComplete: z.boolean() });
export type DeadLetters = z.output<typeof deadLettersSchema>;

const trailEntry = z.object({
  time,
  /** `enqueued`, `handed-over`, `lock-ended`, `connection-lost`, `abandoned`, an outcome, `sent-again`, `receipt-handed-over`, `receipt-read`. */
  step: z.string(),
  detail: z.string(),
});
export type TrailEntryJson = z.output<typeof trailEntry>;

const trackedCommandSchema = z.object({ ...command, trail: z.array(trailEntry) });
export type TrackedCommand = z.output<typeof trackedCommandSchema>;

/** Commands of one message id, newest first: an id may have been used more than once. */
export const trackedCommandsSchema = z.object({ commands: z.array(trackedCommandSchema), isComplete: z.boolean() });
export type TrackedCommands = z.output<typeof trackedCommandsSchema>;

/** One record of GET /messages/serviceBound/feedback */
export const receiptSchema = z.object({
  originalMessageId: z.string().nullable(),
  description: z.string(),
  deviceGenerationId: z.string(),
  ...target,
  enqueuedTimeUtc: time,
  statusCode: z.enum(['Success', 'Rejected', 'Expired', 'DeliveryCountExceeded', 'Purged']),
});
export type ReceiptJson = z.output<typeof receiptSchema>;
export const receiptsSchema = z.array(receiptSchema);
