/** Import and export of the registry: the service's paths, and areas of this hub's own under `/mooring/v1`. */
import { z } from 'zod';
import {
  areaRequestSchema,
  areaSchema,
  type RegistryJobJson,
  registryJobRequestSchema,
  registryJobSchema,
} from '../../api/registry-jobs.ts';
import { HubError } from '../../core/errors.ts';
import type { Guarded } from '../../core/identity/guard.ts';
import type { RegistryJobs } from '../../core/registry-jobs/room.ts';
import {
  CONFIGURATIONS_FILE,
  DEVICES_FILE,
  type JobRequest,
  type RegistryJob,
} from '../../core/registry-jobs/types.ts';
import { type ApiRoute, route } from './route.ts';

const TAG = 'import and export';

export function registryJobRoutes(jobs: Guarded<RegistryJobs>): readonly ApiRoute[] {
  return [
    route({
      method: 'POST',
      url: '/jobs/create',
      summary: 'Begins an export of the registry to a container, or an import from one',
      tag: TAG,
      body: registryJobRequestSchema,
      answers: { 200: registryJobSchema },
      handle: async ({ principal, body }) => {
        const request = requestOf(body);
        const job = await jobs.create(principal, request);
        const isMade = request.outputUri === null && request.kind === 'export';
        return { status: 200, body: jobJson(job, isMade) };
      },
    }),
    route({
      method: 'GET',
      url: '/jobs',
      summary: 'Imports and exports of the last 30 days, newest first',
      tag: TAG,
      answers: { 200: z.array(registryJobSchema) },
      handle: async ({ principal }) => {
        const found = await jobs.list(principal);
        return { status: 200, body: found.map((job) => jobJson(job, false)) };
      },
    }),
    route({
      method: 'GET',
      url: '/jobs/:jobId',
      summary: 'How far an import or export has come',
      tag: TAG,
      answers: { 200: registryJobSchema },
      handle: async ({ principal, params }) => {
        const job = await jobs.get(principal, params.jobId ?? '');
        return { status: 200, body: jobJson(job, false) };
      },
    }),
    route({
      method: 'DELETE',
      url: '/jobs/:jobId',
      summary: 'Ends an import or export; what it has done stays',
      tag: TAG,
      answers: { 204: null },
      handle: async ({ principal, params }) => {
        await jobs.cancel(principal, params.jobId ?? '');
        return { status: 204 };
      },
    }),
    route({
      method: 'POST',
      url: '/mooring/v1/registry/areas',
      summary: 'A container of this hub for an import or export: a signed address that storage libraries take',
      tag: TAG,
      body: areaRequestSchema,
      answers: { 200: areaSchema },
      handle: async ({ principal, body }) => {
        const { uri, expiresAt } = await jobs.openArea(principal, body.expiresInSeconds * 1000);
        return { status: 200, body: { containerUri: uri, expiresTimeUtc: new Date(expiresAt).toISOString() } };
      },
    }),
  ];
}

/** @throws HubError ArgumentInvalid */
function requestOf(body: z.output<typeof registryJobRequestSchema>): JobRequest {
  const kind = body.type.toLowerCase();
  if (kind !== 'export' && kind !== 'import') {
    throw new HubError('ArgumentInvalid', 'body.type must be export or import.');
  }
  if (body.storageAuthenticationType?.toLowerCase() === 'identitybased') {
    throw new HubError(
      'ArgumentInvalid',
      'This hub has no identity at the storage account: storageAuthenticationType must be keyBased, with a signed address.',
    );
  }
  const [inputUri, outputUri] = [body.inputBlobContainerUri, body.outputBlobContainerUri];
  return {
    kind,
    inputUri: inputUri || null,
    outputUri: outputUri || null,
    inputName: body.inputBlobName || DEVICES_FILE,
    outputName: body.outputBlobName || DEVICES_FILE,
    excludesKeys: body.excludeKeysInExport === true,
    configurationsName: body.includeConfigurations === true ? body.configurationsBlobName || CONFIGURATIONS_FILE : null,
  };
}

/** @param isSigned with the signature of the output: who reads of the job may not read its file */
function jobJson(
  { id, plan, state, reason, counts, startedTime, endedTime }: RegistryJob,
  isSigned: boolean,
): RegistryJobJson {
  const { kind, inputUri, outputUri, inputName, outputName } = plan;
  const share = counts.total === 0 ? 0 : Math.min(99, Math.floor((counts.done / counts.total) * 100));
  return {
    jobId: id,
    type: kind,
    status: state,
    progress: state === 'completed' ? 100 : share,
    ...(startedTime !== undefined && { startTimeUtc: new Date(startedTime).toISOString() }),
    ...(endedTime !== undefined && { endTimeUtc: new Date(endedTime).toISOString() }),
    ...(inputUri !== null && { inputBlobContainerUri: unsigned(inputUri) }),
    outputBlobContainerUri: isSigned ? outputUri : unsigned(outputUri),
    ...(kind === 'import' ? { inputBlobName: inputName } : { outputBlobName: outputName }),
    ...(kind === 'export' && { excludeKeysInExport: plan.excludesKeys }),
    ...(plan.configurationsName !== null && {
      includeConfigurations: true,
      configurationsBlobName: plan.configurationsName,
    }),
    storageAuthenticationType: 'keyBased',
    ...(reason !== '' && { failureReason: reason }),
    counts,
  };
}

const unsigned = (uri: string): string => uri.split('?')[0];
