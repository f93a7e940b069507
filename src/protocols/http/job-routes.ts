/** Jobs over many devices (query reference 2). */
import type { z } from 'zod';
import { jobListQuery, jobRequestSchema, jobSchema, jobsSchema } from '../../api/jobs.ts';
import { limits } from '../../base/limits.ts';
import { HubError } from '../../core/errors.ts';
import type { Hub } from '../../core/hub.ts';
import type { Guarded } from '../../core/identity/guard.ts';
import type { RegistryJobs } from '../../core/registry-jobs/room.ts';
import { jobJson, jobRequest, kindOf, otherJobJson, statusOf } from './job-mapping.ts';
import { pageCount, pageHeader, pageHeaders } from './page-headers.ts';
import { type ApiRoute, bytesRoute, route } from './route.ts';

const url = '/jobs/v2/:jobId';
const tag = 'jobs';

/** @param registryJobs Imports and exports, of which tools ask here first */
export function jobRoutes({ jobs }: Pick<Hub, 'jobs'>, registryJobs?: Guarded<RegistryJobs>): readonly ApiRoute[] {
  return [
    bytesRoute({
      method: 'PUT',
      url,
      summary:
        'Updates the twins of all devices that a condition is true of, or invokes a method of each; now or later',
      tag,
      body: 'bytes',
      bodyShape: jobRequestSchema,
      answers: { 200: jobSchema },
      handle: async ({ principal, params, body }) => {
        const job = await jobs.create(principal, jobRequest(params.jobId ?? '', body));
        return { status: 200, body: jobJson(job) };
      },
    }),
    route<unknown, z.output<typeof jobListQuery>>({
      method: 'GET',
      url: '/jobs/v2/query',
      summary:
        'Jobs, newest first, by type and status. Headers: x-ms-max-item-count (1 to ' +
        `${limits.jobPageMax}, ${limits.jobPageDefault} unless told); x-ms-continuation of the page before`,
      tag,
      body: undefined,
      query: jobListQuery,
      answers: { 200: jobsSchema },
      handle: async ({ principal, query, headers }) => {
        const { jobType, jobStatus } = query;
        const countMax = pageCount(headers);
        const continuation = pageHeader(headers, 'x-ms-continuation');
        const page = await jobs.list(principal, {
          ...(jobType && { kind: kindOf(jobType) }),
          ...(jobStatus && { status: statusOf(jobStatus) }),
          ...(countMax !== undefined && { countMax }),
          ...(continuation !== undefined && { continuation }),
        });
        return { status: 200, body: page.jobs.map(jobJson), headers: pageHeaders('JobResponse', page.continuation) };
      },
    }),
    route({
      method: 'GET',
      url,
      summary: 'A job, and what became of its devices in numbers',
      tag,
      answers: { 200: jobSchema },
      handle: async ({ principal, params }) => ({
        status: 200,
        body: await jobs.get(principal, params.jobId ?? '').then(jobJson, async (error) => {
          if (!(error instanceof HubError) || error.code !== 'JobNotFound') throw error;
          const other = await registryJobs?.glimpse(principal, params.jobId ?? '').catch(() => undefined);
          if (other === undefined) throw error;
          return otherJobJson(other);
        }),
      }),
    }),
    route({
      method: 'POST',
      url: `${url}/cancel`,
      summary: 'No further device is begun; what is under way may still be carried out',
      tag,
      answers: { 200: jobSchema },
      handle: async ({ principal, params }) => ({
        status: 200,
        body: jobJson(await jobs.cancel(principal, params.jobId ?? '')),
      }),
    }),
  ];
}
