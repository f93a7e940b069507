/** Import and export of the registry in the JSON of the REST API (query reference 3). */
import { z } from 'zod';
import { limits } from '../base/limits.ts';

const name = z.string().max(limits.fileNameCharsMax).nullish();
const uri = z.string().max(limits.registryJobUriCharsMax).nullish();

/** Body of POST /jobs/create. What the service sets itself is ignored: SDKs send back what they have received. */
export const registryJobRequestSchema = z.object({
  type: z.string().meta({ description: '`export` or `import`; case does not matter.' }),
  inputBlobContainerUri: uri,
  outputBlobContainerUri: uri,
  inputBlobName: name,
  outputBlobName: name,
  excludeKeysInExport: z.boolean().nullish(),
  storageAuthenticationType: z.string().nullish(),
  includeConfigurations: z.boolean().nullish(),
  configurationsBlobName: name,
});
export type RegistryJobRequestJson = z.input<typeof registryJobRequestSchema>;

export const registryJobSchema = z.object({
  jobId: z.string(),
  type: z.enum(['export', 'import']),
  status: z.enum(['enqueued', 'running', 'completed', 'failed', 'cancelled']),
  /** Percent. */
  progress: z.number().int(),
  startTimeUtc: z.string().optional(),
  endTimeUtc: z.string().optional(),
  /** Without their signatures, but for those of an area that the hub has made for this request. */
  inputBlobContainerUri: z.string().optional(),
  outputBlobContainerUri: z.string().optional(),
  inputBlobName: z.string().optional(),
  outputBlobName: z.string().optional(),
  excludeKeysInExport: z.boolean().optional(),
  includeConfigurations: z.boolean().optional(),
  configurationsBlobName: z.string().optional(),
  storageAuthenticationType: z.string().optional(),
  failureReason: z.string().optional(),
  /** This hub's own: lines of an import, or identities of an export. */
  counts: z.object({
    total: z.number().int(),
    done: z.number().int(),
    unchanged: z.number().int(),
    failed: z.number().int(),
  }),
});
export type RegistryJobJson = z.output<typeof registryJobSchema>;

export const areaRequestSchema = z.object({
  expiresInSeconds: z
    .int()
    .min(60)
    .max(limits.registryJobAreaMsMax / 1000)
    .default(limits.registryJobAreaMs / 1000),
});

/** A container of the hub's own, for an import or export. */
export const areaSchema = z.object({ containerUri: z.string(), expiresTimeUtc: z.string() });
export type AreaJson = z.output<typeof areaSchema>;
