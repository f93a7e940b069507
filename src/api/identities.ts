/**
 * Devices and modules in the JSON of the registry's REST API (service reference 2.3 and 2.4). One schema each way gives
 * the check, the type and the OpenAPI page. Unknown fields are dropped: SDKs send back whatever they once received.
 */
import { z } from 'zod';
import { limits } from '../base/limits.ts';

/** What `null` and absence mean is the same everywhere: not given. .NET and Java write nulls, Node leaves fields out. */
const symmetricKeyDraft = z.object({
  primaryKey: z.string().nullish(),
  secondaryKey: z.string().nullish(),
});

const thumbprintDraft = z.object({
  primaryThumbprint: z.string().nullish(),
  secondaryThumbprint: z.string().nullish(),
});

const authenticationType = z.enum(['sas', 'selfSigned', 'certificateAuthority', 'none']);

const authenticationDraft = z.object({
  type: authenticationType.nullish(),
  /** Empty or missing keys are made by the hub. */
  symmetricKey: symmetricKeyDraft.nullish(),
  x509Thumbprint: thumbprintDraft.nullish(),
});

const capabilities = z.object({ iotEdge: z.boolean().nullish() });

/** Java's service SDK begins the word with a capital. */
const statusDraft = z
  .enum(['enabled', 'disabled', 'Enabled', 'Disabled'])
  .transform((status) => (status.toLowerCase() === 'enabled' ? 'enabled' : 'disabled'));

/** Body of PUT /devices/{id}. Read-only fields (ETag, times, states, counts) are ignored. */
export const deviceDraftSchema = z.object({
  deviceId: z.string().nullish(),
  status: statusDraft.nullish(),
  statusReason: z.string().nullish(),
  authentication: authenticationDraft.nullish(),
  capabilities: capabilities.nullish(),
  deviceScope: z.string().nullish(),
  parentScopes: z.array(z.string()).nullish(),
});
export type DeviceDraft = z.input<typeof deviceDraftSchema>;

/** Body of PUT /devices/{id}/modules/{mid}. */
export const moduleDraftSchema = z.object({
  deviceId: z.string().nullish(),
  moduleId: z.string().nullish(),
  managedBy: z.string().nullish(),
  authentication: authenticationDraft.nullish(),
});
export type ModuleDraft = z.input<typeof moduleDraftSchema>;

const authentication = z.object({
  type: authenticationType,
  symmetricKey: z.object({ primaryKey: z.string().nullable(), secondaryKey: z.string().nullable() }),
  x509Thumbprint: z.object({ primaryThumbprint: z.string().nullable(), secondaryThumbprint: z.string().nullable() }),
});

/** ISO 8601 in UTC; `0001-01-01T00:00:00` stands for never. */
const time = z.string();

const shown = {
  deviceId: z.string(),
  generationId: z.string(),
  /** Without quotes; the header `ETag` carries it in quotes. */
  etag: z.string(),
  connectionState: z.enum(['Connected', 'Disconnected']),
  connectionStateUpdatedTime: time,
  lastActivityTime: time,
  cloudToDeviceMessageCount: z.number().int(),
  authentication,
};

/** A device as the hub shows it. */
export const deviceSchema = z.object({
  ...shown,
  status: z.enum(['enabled', 'disabled']),
  statusReason: z.string().nullable(),
  statusUpdatedTime: time,
  capabilities: z.object({ iotEdge: z.boolean() }),
  deviceScope: z.string().optional(),
  parentScopes: z.array(z.string()),
});
export type Device = z.output<typeof deviceSchema>;

/** A module as the hub shows it: it has no status of its own. */
export const moduleSchema = z.object({ ...shown, moduleId: z.string(), managedBy: z.string().nullable() });
export type Module = z.output<typeof moduleSchema>;

/** What the runtime of an edge device is told of its children; null = no more. */
export const inScopeSchema = z.object({
  devices: z.array(deviceSchema),
  modules: z.array(moduleSchema),
  /** Where the next page is: path and query, or what a request on behalf of another edge device sends along. */
  continuationLink: z.string().nullable(),
});
export type InScopeJson = z.output<typeof inScopeSchema>;

/** Identities from the edge device that is meant up to the one that asks, between semicolons: `inner;outer`. */
const authChain = z.string().min(1).max(limits.authChainCharsMax);

/** What the runtime of an edge device asks for on behalf of one below it. */
export const targetScopeSchema = z.object({
  pageSize: z.int().nonnegative().nullish(),
  /** As the answer before gave it. */
  continuationLink: z.string().nullish(),
  authChain,
});

export const behalfSchema = z.object({ targetDeviceId: z.string(), targetModuleId: z.string().nullish(), authChain });

/** The ways in which one item of a bulk request may change an identity. */
export const importModes = [
  'create',
  'update',
  'updateIfMatchETag',
  'createOrUpdate',
  'createOrUpdateIfMatchETag',
  'delete',
  'deleteIfMatchETag',
  'updateTwin',
  'updateTwinIfMatchETag',
] as const;
export type ImportModeName = (typeof importModes)[number];

/** Compared without regard to case: Node writes `Update`, others `update` (service reference 2.4). */
const importMode = z
  .string()
  .meta({ description: `One of ${importModes.join(', ')}; case does not matter. Default: createOrUpdate.` })
  .transform((text, context): ImportModeName => {
    const found = importModes.find((mode) => mode.toLowerCase() === text.toLowerCase());
    if (found !== undefined) return found;
    context.addIssue({ code: 'custom', message: `must be one of ${importModes.join(', ')}` });
    return z.NEVER;
  });

/** One item of POST /devices: `id`, not `deviceId`; the ETag in both spellings, because azure-iothub sends an identity's own `etag`. */
export const bulkItemSchema = z.object({
  id: z.string(),
  moduleId: z.string().nullish(),
  eTag: z.string().nullish(),
  etag: z.string().nullish(),
  importMode: importMode.nullish(),
  status: statusDraft.nullish(),
  statusReason: z.string().nullish(),
  authentication: authenticationDraft.nullish(),
  capabilities: capabilities.nullish(),
  deviceScope: z.string().nullish(),
  parentScopes: z.array(z.string()).nullish(),
  managedBy: z.string().nullish(),
  twinETag: z.string().nullish().meta({ description: 'The ETag that the twin must have. Absent: any.' }),
  tags: z.unknown().optional().meta({ description: 'To be merged into the tags of the twin; null deletes.' }),
  properties: z
    .object({ desired: z.unknown().optional() })
    .nullish()
    .meta({ description: '`desired` is merged into the desired properties of the twin; null deletes.' }),
});
export type BulkItemJson = z.input<typeof bulkItemSchema>;

export const bulkSchema = z.array(bulkItemSchema);

/** Answer of POST /devices, with status 200 and with status 400 alike. */
export const bulkResultSchema = z.object({
  isSuccessful: z.boolean(),
  errors: z.array(
    z.object({
      deviceId: z.string(),
      moduleId: z.string().optional(),
      errorCode: z.number().int(),
      errorStatus: z.string(),
    }),
  ),
  warnings: z.array(
    z.object({ deviceId: z.string(), warningCode: z.string().optional(), warningStatus: z.string().optional() }),
  ),
});
export type BulkResultJson = z.output<typeof bulkResultSchema>;

/** GET /statistics/devices */
export const deviceStatisticsSchema = z.object({
  totalDeviceCount: z.number().int(),
  enabledDeviceCount: z.number().int(),
  disabledDeviceCount: z.number().int(),
});
export type DeviceStatistics = z.output<typeof deviceStatisticsSchema>;

/** GET /statistics/service */
export const serviceStatisticsSchema = z.object({ connectedDeviceCount: z.number().int() });
export type ServiceStatistics = z.output<typeof serviceStatisticsSchema>;

const named = z.object({ id: z.string(), moduleId: z.string().nullish() });

/** Body of POST /devices/keys/regenerate. */
export const regenerateKeysSchema = z.object({
  policyKey: z.enum(['primaryKey', 'secondaryKey', 'both']),
  devices: z.array(named),
});
export type RegenerateKeysJson = z.input<typeof regenerateKeysSchema>;

/** Its answer: the keys that are new, and why there are none. */
export const regeneratedKeysSchema = z.object({
  policyKey: z.enum(['primaryKey', 'secondaryKey', 'both']),
  rotatedKeys: z.array(
    z.object({
      id: z.string(),
      moduleId: z.string().optional(),
      primaryKey: z.string().optional(),
      secondaryKey: z.string().optional(),
    }),
  ),
  errors: z.array(
    z.object({ id: z.string(), moduleId: z.string().optional(), errorCode: z.string(), errorStatus: z.string() }),
  ),
});
export type RegeneratedKeysJson = z.output<typeof regeneratedKeysSchema>;
