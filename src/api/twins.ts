/** Twins and methods in the JSON of the service's REST API (twins reference 1 and 5). */
import { z } from 'zod';
import { foreignObject } from './foreign-object.ts';

const section = foreignObject.describe('names and values, with $metadata and $version');
const change = foreignObject.nullish().describe('null in place of a value deletes it');

/** Body of PATCH and PUT: other members of a twin are ignored, because SDKs send back what they have read. */
export const twinChangeSchema = z.looseObject({
  tags: change,
  properties: z.looseObject({ desired: change }).nullish(),
});
export type TwinChangeJson = z.input<typeof twinChangeSchema>;

const thumbprint = z.string().nullable();

export const twinSchema = z.object({
  deviceId: z.string(),
  moduleId: z.string().optional(),
  etag: z.string(),
  deviceEtag: z.string(),
  status: z.enum(['enabled', 'disabled']),
  statusReason: z.string().optional(),
  statusUpdateTime: z.string(),
  connectionState: z.enum(['Connected', 'Disconnected']),
  connectionStateUpdatedTime: z.string(),
  lastActivityTime: z.string(),
  cloudToDeviceMessageCount: z.number().int(),
  authenticationType: z.enum(['sas', 'selfSigned', 'certificateAuthority', 'none']),
  x509Thumbprint: z.object({ primaryThumbprint: thumbprint, secondaryThumbprint: thumbprint }),
  modelId: z.string(),
  version: z.number().int(),
  tags: foreignObject,
  properties: z.object({ desired: section, reported: section }),
  capabilities: z.object({ iotEdge: z.boolean() }),
  configurations: z
    .record(z.string(), z.object({ status: z.enum(['targeted', 'applied']) }))
    .optional()
    .describe('those that are for it'),
  deviceScope: z.string().optional(),
  parentScopes: z.array(z.string()).optional(),
});
export type TwinJson = z.output<typeof twinSchema>;

/** Body of POST …/methods. */
export const methodRequestSchema = z.looseObject({
  methodName: z.string(),
  payload: z.unknown().optional(),
  responseTimeoutInSeconds: z.number().nullish(),
  connectTimeoutInSeconds: z.number().nullish(),
  /** As the first versions of the service called the response timeout. */
  timeoutInSeconds: z.number().nullish(),
});

export const methodResultSchema = z.object({ status: z.number().int(), payload: z.unknown() });
export type MethodResultJson = z.output<typeof methodResultSchema>;
