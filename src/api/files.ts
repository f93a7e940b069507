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
