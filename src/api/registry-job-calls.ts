/** Calls about imports and exports of the registry, and the files of the areas that the hub makes for them. */
import { z } from 'zod';
import { type ApiTransport, exchange, UnexpectedAnswerError } from './exchange.ts';
import type { StreamResponse, StreamTransport } from './file-calls.ts';
import {
  type AreaJson,
  areaSchema,
  type RegistryJobJson,
  type RegistryJobRequestJson,
  registryJobSchema,
} from './registry-jobs.ts';

export interface RegistryJobCalls {
  /** Begins one. Refused with `JobQuotaExceeded` while another is under way. */
  create(request: RegistryJobRequestJson): Promise<RegistryJobJson>;
  get(jobId: string): Promise<RegistryJobJson>;
  /** Newest first. */
  list(): Promise<readonly RegistryJobJson[]>;
  cancel(jobId: string): Promise<void>;
  /** A container of the hub's own. */
  openArea(expiresInSeconds?: number): Promise<AreaJson>;
  /** Puts a file into an area. */
  putFile(
    containerUri: string,
    name: string,
    content: { body: AsyncIterable<Uint8Array>; bytes: number },
  ): Promise<void>;
  /** Undefined = there is no such file. */
  getFile(
    containerUri: string,
    name: string,
  ): Promise<{ readonly bytes: number; readonly body: AsyncIterable<Uint8Array> } | undefined>;
  deleteFile(containerUri: string, name: string): Promise<void>;
}

export function registryJobCalls(transport: ApiTransport, streams: StreamTransport): RegistryJobCalls {
  const job = (id: string): string => `/jobs/${encodeURIComponent(id)}`;
  return {
    create: async (body) => (await exchange(transport, registryJobSchema, 'POST', '/jobs/create', { body })).data,
    get: async (id) => (await exchange(transport, registryJobSchema, 'GET', job(id))).data,
    list: async () => (await exchange(transport, z.array(registryJobSchema), 'GET', '/jobs')).data,
    cancel: async (id) => void (await exchange(transport, z.unknown(), 'DELETE', job(id))),
    openArea: async (expiresInSeconds) =>
      (await exchange(transport, areaSchema, 'POST', '/mooring/v1/registry/areas', { body: { expiresInSeconds } }))
        .data,
    async putFile(uri, name, { body, bytes }) {
      const headers = { 'x-ms-blob-type': 'BlockBlob', 'content-length': String(bytes) };
      const answer = await streams({ method: 'PUT', path: pathIn(uri, name), headers, body });
      await settled(answer, 201, name);
    },
    async getFile(uri, name) {
      const answer = await streams({ method: 'GET', path: pathIn(uri, name), headers: {} });
      if (answer.status === 200) return { bytes: Number(answer.headers['content-length']), body: answer.body };
      await settled(answer, 404, name);
      return undefined;
    },
    async deleteFile(uri, name) {
      const answer = await streams({ method: 'DELETE', path: pathIn(uri, name), headers: {} });
      await settled(answer, 202, name);
    },
  };
}

/** The hub is reached as for all calls, whatever name stands in the address. */
function pathIn(containerUri: string, name: string): string {
  const { pathname, search } = new URL(containerUri);
  return `${pathname}/${name.split('/').map(encodeURIComponent).join('/')}${search}`;
}

/** More of a refusal's text is passed over. */
const REFUSAL_BYTES = 4096;

/** @throws UnexpectedAnswerError with the code and the words of the blob endpoint */
async function settled({ status, headers, body }: StreamResponse, wanted: number, name: string): Promise<void> {
  let text = '';
  for await (const piece of body) if (text.length < REFUSAL_BYTES) text += Buffer.from(piece).toString('utf8');
  if (status === wanted) return;
  const code = headers['x-ms-error-code'] ?? `status ${status}`;
  const [, words] = /<Message>([^<&]{1,1000})<\/Message>/.exec(text) ?? [];
  throw new UnexpectedAnswerError(`The hub has refused the file ${name}: ${code}.${words ? ` ${words}` : ''}`);
}
