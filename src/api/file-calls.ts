/** Calls about files: putting, fetching, granting, rollouts. Contents stream in both directions. */
import type { z } from 'zod';
import { type ApiRequest, type ApiResponse, type ApiTransport, checkedAnswer, exchange } from './exchange.ts';
import {
  type FileJson,
  filesSchema,
  type GrantAnswerJson,
  type GrantJson,
  grantAnswersSchema,
  grantsSchema,
  type RolloutJson,
  type RolloutTargetJson,
  type rolloutRequestSchema,
  rolloutSchema,
  rolloutsSchema,
  rolloutTargetsSchema,
} from './files.ts';

/** Whose file: an identity's, or of the hub's part, which belongs to no device. */
export type FilePart = 'hub' | { readonly deviceId: string; readonly moduleId?: string };

/** A request whose body comes as it is sent. */
export interface StreamRequest extends Omit<ApiRequest, 'body'> {
  readonly body?: AsyncIterable<Uint8Array>;
  /** Aborted = the answer is wanted no more. */
  readonly signal?: AbortSignal;
}

/** An answer whose body is read as it comes; it must be read to its end or returned. */
export interface StreamResponse extends Omit<ApiResponse, 'body'> {
  readonly body: AsyncIterable<Uint8Array>;
}

export type StreamTransport = (request: StreamRequest) => Promise<StreamResponse>;

export interface FileContent {
  readonly body: AsyncIterable<Uint8Array>;
  readonly bytes: number;
  /** Absent = `application/octet-stream`. */
  readonly contentType?: string;
  /** Refused with `PreconditionFailed` where there is a file of this name. */
  readonly isNew?: boolean;
}

export interface FetchedFile {
  readonly bytes: number;
  /** Unquoted. */
  readonly etag: string;
  readonly contentType: string;
  readonly body: AsyncIterable<Uint8Array>;
}

export interface PageOptions {
  /** The `next` of the page before. */
  readonly after?: string;
  readonly limit?: number;
}

interface Paged {
  readonly next?: string | undefined;
}

export interface FileCalls {
  /** Files in order of name. */
  list(part: FilePart, page?: PageOptions): Promise<Paged & { readonly files: readonly FileJson[] }>;
  /** Resolves when the file is on disk. */
  put(part: FilePart, name: string, content: FileContent): Promise<void>;
  get(part: FilePart, name: string): Promise<FetchedFile>;
  delete(part: FilePart, name: string): Promise<void>;
  /** Lets devices fetch a file of the hub's part: answers in their order. */
  grant(
    name: string,
    devices: readonly { readonly deviceId: string; readonly moduleId?: string }[],
    expiresInSeconds: number,
  ): Promise<readonly GrantAnswerJson[]>;
  /** Grants with their receipts, newest first. */
  grants(
    of: { readonly name: string } | { readonly deviceId: string; readonly moduleId?: string },
    page?: PageOptions,
  ): Promise<Paged & { readonly grants: readonly GrantJson[] }>;
  revoke(grantId: string): Promise<void>;
  startRollout(request: z.input<typeof rolloutRequestSchema>): Promise<RolloutJson>;
  rollout(id: string): Promise<RolloutJson>;
  rollouts(page?: PageOptions): Promise<Paged & { readonly rollouts: readonly RolloutJson[] }>;
  /** What became of each device, in the order in which they were named. */
  rolloutDevices(
    id: string,
    of?: { readonly state?: RolloutTargetJson['state']; readonly after?: number },
  ): Promise<{ readonly devices: readonly RolloutTargetJson[]; readonly next?: number | undefined }>;
  stopRollout(id: string): Promise<RolloutJson>;
}

const ROOT = '/mooring/v1';
/** Of a refusal's body, which is small. */
const REFUSAL_BYTES_MAX = 64 * 1024;

export function fileCalls(transport: ApiTransport, streams: StreamTransport): FileCalls {
  const rollout = (id: string): string => `${ROOT}/file-rollouts/${encodeURIComponent(id)}`;
  return {
    list: async (part, page = {}) =>
      (await exchange(transport, filesSchema, 'GET', partUrl(part), { query: queryOf({ ...page }) })).data,
    async put(part, name, { body, bytes, contentType = 'application/octet-stream', isNew }) {
      const headers = {
        'content-type': contentType,
        'content-length': String(bytes),
        ...(isNew === true && { 'if-none-match': '*' }),
      };
      const path = fileUrl(part, name);
      const answer = await streams({ method: 'PUT', path, headers, body });
      await checked(answer, 'PUT', path);
    },
    async get(part, name) {
      const path = fileUrl(part, name);
      const answer = await streams({ method: 'GET', path, headers: {} });
      if (answer.status !== 200) await checked(answer, 'GET', path);
      const { headers, body } = answer;
      return {
        bytes: Number(headers['content-length']),
        etag: (headers.etag ?? '').replaceAll('"', ''),
        contentType: headers['content-type'] ?? '',
        body,
      };
    },
    async delete(part, name) {
      const path = fileUrl(part, name);
      await checked(await streams({ method: 'DELETE', path, headers: {} }), 'DELETE', path);
    },
    grant: async (name, devices, expiresInSeconds) =>
      (
        await exchange(transport, grantAnswersSchema, 'POST', `${ROOT}/file-grants`, {
          body: { name, devices, expiresInSeconds },
        })
      ).data.grants,
    grants: async (of, page = {}) =>
      (await exchange(transport, grantsSchema, 'GET', `${ROOT}/file-grants`, { query: queryOf({ ...of, ...page }) }))
        .data,
    async revoke(grantId) {
      const path = `${ROOT}/file-grants/${encodeURIComponent(grantId)}`;
      await checked(await streams({ method: 'DELETE', path, headers: {} }), 'DELETE', path);
    },
    startRollout: async (body) =>
      (await exchange(transport, rolloutSchema, 'POST', `${ROOT}/file-rollouts`, { body })).data,
    rollout: async (id) => (await exchange(transport, rolloutSchema, 'GET', rollout(id))).data,
    rollouts: async (page = {}) =>
      (await exchange(transport, rolloutsSchema, 'GET', `${ROOT}/file-rollouts`, { query: queryOf({ ...page }) })).data,
    rolloutDevices: async (id, of = {}) =>
      (
        await exchange(transport, rolloutTargetsSchema, 'GET', `${rollout(id)}/devices`, {
          query: queryOf({ ...of }),
        })
      ).data,
    stopRollout: async (id) => (await exchange(transport, rolloutSchema, 'POST', `${rollout(id)}/stop`)).data,
  };
}

function partUrl(part: FilePart): string {
  if (part === 'hub') return `${ROOT}/files`;
  const device = `${ROOT}/devices/${encodeURIComponent(part.deviceId)}`;
  return part.moduleId === undefined
    ? `${device}/files`
    : `${device}/modules/${encodeURIComponent(part.moduleId)}/files`;
}

const fileUrl = (part: FilePart, name: string): string =>
  `${partUrl(part)}/${name.split('/').map(encodeURIComponent).join('/')}`;

function queryOf(fields: Readonly<Record<string, string | number | undefined>>): Record<string, string> {
  const given = Object.entries(fields).filter(([, value]) => value !== undefined);
  return Object.fromEntries(given.map(([name, value]) => [name, String(value)]));
}

/** @throws ApiError, UnexpectedAnswerError unless the hub has done it */
async function checked({ body, ...answer }: StreamResponse, method: ApiRequest['method'], path: string): Promise<void> {
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  for await (const piece of body) {
    bytes += piece.length;
    if (bytes <= REFUSAL_BYTES_MAX) pieces.push(piece);
  }
  checkedAnswer({ ...answer, body: Buffer.concat(pieces).toString('utf8') }, method, path);
}
