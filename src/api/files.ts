/** Files of devices: the shapes of the service's REST API for uploads (files reference 1 and 3). */
import { z } from 'zod';
import { limits } from '../base/limits.ts';

/** Body of POST /devices/{id}/files. */
export const uploadRequestSchema = z.object({
  /** Name of the file; the hub puts the device's id before it. */
  blobName: z.string().max(limits.fileNameCharsMax),
});

export const uploadTicketSchema = z.object({
  correlationId: z.string(),
  hostName: z.string(),
  containerName: z.string(),
  blobName: z.string(),
  sasToken: z.string(),
});

/** Body of POST /devices/{id}/files/notifications. SDKs send texts of any kind in the fields that nothing depends on. */
export const uploadEndSchema = z.object({
  /** Absent where the path names it. */
  correlationId: z.string().max(limits.messageIdCharsMax).optional(),
  isSuccess: z.boolean(),
});

/** ISO 8601 in UTC. */
const time = z.string();

/** A file as lists show it. */
export const fileSchema = z.object({
  /** Within the part of the device, or of the hub. */
  name: z.string(),
  bytes: z.number(),
  etag: z.string(),
  lastModifiedTimeUtc: time,
  contentType: z.string(),
});
export type FileJson = z.output<typeof fileSchema>;

/** A page; `next` is the `after` of the next one, absent at the end. */
export const filesSchema = z.object({ files: z.array(fileSchema), next: z.string().optional() });

const identity = { deviceId: z.string(), moduleId: z.string().optional() };

/** Body of POST /mooring/v1/file-grants. */
export const grantRequestSchema = z.strictObject({
  /** Of a file of the hub's part. */
  name: z.string().max(limits.fileNameCharsMax),
  devices: z.array(z.strictObject(identity)).min(1).max(limits.fileGrantsPerRequestMax),
  expiresInSeconds: z.number().int().positive(),
});

const grantAnswerSchema = z.object({
  ...identity,
  id: z.string().optional(),
  /** Signed: its bearer may fetch the file. */
  url: z.string().optional(),
  expiresTimeUtc: time.optional(),
  /** Why there is no grant: DeviceNotFound, IotHubQuotaExceeded. */
  error: z.string().optional(),
});
export type GrantAnswerJson = z.output<typeof grantAnswerSchema>;

/** In the order of the devices that were named. */
export const grantAnswersSchema = z.object({ grants: z.array(grantAnswerSchema) });

/** What lets one device fetch one file, and its receipt. */
export const grantSchema = z.object({
  id: z.string(),
  ...identity,
  name: z.string(),
  createdTimeUtc: time,
  expiresTimeUtc: time,
  grantedBy: z.string(),
  /** Null until something was sent. */
  fetched: z
    .object({
      etag: z.string(),
      bytes: z.number(),
      /** Until which byte, from the first on without a gap. */
      sentBytes: z.number(),
      firstTimeUtc: time,
      lastTimeUtc: time,
      completedTimeUtc: time.nullable(),
    })
    .nullable(),
});
export type GrantJson = z.output<typeof grantSchema>;
export const grantsSchema = z.object({ grants: z.array(grantSchema), next: z.string().optional() });

/** One upload that back ends are told of, as the service's SDKs read it. */
export const fileNotificationSchema = z.object({
  deviceId: z.string(),
  moduleId: z.string().optional(),
  blobUri: z.string(),
  blobName: z.string(),
  lastUpdatedTime: time,
  blobSizeInBytes: z.number(),
  enqueuedTimeUtc: time,
});

const seconds = z.number().int().positive();

/** Body of POST /mooring/v1/file-rollouts. */
export const rolloutRequestSchema = z.strictObject({
  /** Of a file of the hub's part. */
  name: z.string().max(limits.fileNameCharsMax),
  devices: z.array(z.strictObject(identity)).min(1).max(limits.rolloutDevicesMax),
  /** Devices that are told at a time; absent = all that may be. */
  waveSize: z.number().int().min(1).max(limits.rolloutWaveMax).optional(),
  /** Between two waves; absent = none. */
  pauseSeconds: z.number().int().min(0).optional(),
  /** How long a device may take to fetch the file; absent = a day. */
  fetchSeconds: seconds.optional(),
  /** Share of failed devices from which no further wave begins; absent = 0.1. */
  failedShareMax: z.number().positive().max(1).optional(),
});

export const rolloutSchema = z.object({
  id: z.string(),
  name: z.string(),
  createdTimeUtc: time,
  createdBy: z.string(),
  waveSize: z.number(),
  pauseSeconds: z.number(),
  fetchSeconds: z.number(),
  failedShareMax: z.number(),
  state: z.enum(['running', 'finished', 'stopped']),
  /** Why it was stopped. */
  reason: z.string(),
  wave: z.number(),
  waiting: z.number(),
  told: z.number(),
  fetched: z.number(),
  failed: z.number(),
});
export type RolloutJson = z.output<typeof rolloutSchema>;
export const rolloutsSchema = z.object({ rollouts: z.array(rolloutSchema), next: z.string().optional() });

const rolloutTargetSchema = z.object({
  ...identity,
  state: z.enum(['waiting', 'told', 'fetched', 'failed']),
  grantId: z.string().optional(),
  timeUtc: time.optional(),
  reason: z.string(),
});
export type RolloutTargetJson = z.output<typeof rolloutTargetSchema>;
export const rolloutTargetsSchema = z.object({ devices: z.array(rolloutTargetSchema), next: z.number().optional() });
