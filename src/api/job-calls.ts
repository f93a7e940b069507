/** Calls of jobs. */
import { type ApiTransport, exchange } from './exchange.ts';
import { type JobJson, type JobRequestJson, jobSchema, jobsSchema } from './jobs.ts';

export interface JobFilterJson {
  readonly jobType?: string;
  readonly jobStatus?: string;
}

export interface JobPageJson {
  readonly jobs: readonly JobJson[];
  readonly continuation?: string;
}

export interface JobCalls {
  create(id: string, request: JobRequestJson): Promise<JobJson>;
  get(id: string): Promise<JobJson>;
  cancel(id: string): Promise<JobJson>;
  /** Newest first, 100 unless told. */
  page(
    of?: JobFilterJson,
    options?: { readonly countMax?: number; readonly continuation?: string },
  ): Promise<JobPageJson>;
  /** All of them, page by page. */
  all(of?: JobFilterJson): AsyncIterable<JobJson>;
}

export function jobCalls(transport: ApiTransport): JobCalls {
  const path = (id: string): string => `/jobs/v2/${encodeURIComponent(id)}`;
  const page: JobCalls['page'] = async ({ jobType, jobStatus } = {}, { countMax, continuation } = {}) => {
    const headers = {
      ...(countMax !== undefined && { 'x-ms-max-item-count': String(countMax) }),
      ...(continuation !== undefined && { 'x-ms-continuation': continuation }),
    };
    const query = { ...(jobType !== undefined && { jobType }), ...(jobStatus !== undefined && { jobStatus }) };
    const answer = await exchange(transport, jobsSchema, 'GET', '/jobs/v2/query', { headers, query });
    const next = answer.headers['x-ms-continuation'];
    return { jobs: answer.data, ...(next !== undefined && { continuation: next }) };
  };
  return {
    create: async (id, body) => (await exchange(transport, jobSchema, 'PUT', path(id), { body })).data,
    get: async (id) => (await exchange(transport, jobSchema, 'GET', path(id))).data,
    cancel: async (id) => (await exchange(transport, jobSchema, 'POST', `${path(id)}/cancel`)).data,
    page,
    async *all(of) {
      let continuation: string | undefined;
      do {
        const each = await page(of, continuation === undefined ? {} : { continuation });
        yield* each.jobs;
        continuation = each.continuation;
      } while (continuation !== undefined);
    },
  };
}
