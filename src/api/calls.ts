/** The typed calls of the management API over any transport: `client.ts` gives Node's, a browser its own `fetch`. */
import { z } from 'zod';
import { type CertificateAuthority, certificateAuthoritySchema } from './authorities.ts';
import type { ConsumerGroupJson, HubFacts } from './hub.ts';
import { consumerGroupSchema, errorBodySchema, hubFactsSchema } from './hub.ts';
import type {
  BulkItemJson,
  BulkResultJson,
  Device,
  DeviceDraft,
  DeviceStatistics,
  Module,
  ModuleDraft,
  ServiceStatistics,
} from './identities.ts';
import {
  bulkResultSchema,
  deviceSchema,
  deviceStatisticsSchema,
  moduleSchema,
  serviceStatisticsSchema,
} from './identities.ts';

/** The newest version of the emulated service's API that SDKs ask for. */
export const API_VERSION = '2021-04-12';

export interface ApiRequest {
  readonly method: 'GET' | 'PUT' | 'POST' | 'DELETE';
  /** Path and query, encoded. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
}

export interface ApiResponse {
  readonly status: number;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: string;
}

/** Sends a request with its credential. Rejects when no answer came. */
export type ApiTransport = (request: ApiRequest) => Promise<ApiResponse>;

/** The hub refused. `code` is its name for the reason (docs/errors.md), e.g. `DeviceNotFound`. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly status: number;
  readonly code: string;
  /** Finds the request in the hub's log. */
  readonly requestId: string | undefined;
  readonly retryAfterSeconds: number | undefined;

  constructor(
    message: string,
    facts: { status: number; code: string; requestId: string | undefined; retryAfterSeconds: number | undefined },
  ) {
    super(message);
    this.status = facts.status;
    this.code = facts.code;
    this.requestId = facts.requestId;
    this.retryAfterSeconds = facts.retryAfterSeconds;
  }
}

/** The answer is not one that a hub of this version gives: a proxy, another program, another version. */
export class UnexpectedAnswerError extends Error {
  override readonly name = 'UnexpectedAnswerError';
}

/** `ifMatch` is an ETag as the hub showed it, without quotes; absent = whatever is there. */
export interface Conditional {
  readonly ifMatch?: string;
}

export interface ApiCalls {
  readonly devices: {
    /** Absent or empty keys are made by the hub. */
    create(deviceId: string, draft?: DeviceDraft): Promise<Device>;
    get(deviceId: string): Promise<Device>;
    /** In order of id; at most 1000, which is also the default. */
    list(options?: { readonly top?: number }): Promise<readonly Device[]>;
    /** Replaces the whole device: what the draft leaves out takes its default, and keys are made anew. */
    update(deviceId: string, draft: DeviceDraft, options?: Conditional): Promise<Device>;
    delete(deviceId: string, options?: Conditional): Promise<void>;
    /** 1 to 100 items; each succeeds or fails on its own, so look at `isSuccessful`. */
    bulk(items: readonly BulkItemJson[]): Promise<BulkResultJson>;
  };
  readonly modules: {
    create(deviceId: string, moduleId: string, draft?: ModuleDraft): Promise<Module>;
    get(deviceId: string, moduleId: string): Promise<Module>;
    list(deviceId: string): Promise<readonly Module[]>;
    update(deviceId: string, moduleId: string, draft: ModuleDraft, options?: Conditional): Promise<Module>;
    delete(deviceId: string, moduleId: string, options?: Conditional): Promise<void>;
  };
  readonly statistics: {
    devices(): Promise<DeviceStatistics>;
    service(): Promise<ServiceStatistics>;
  };
  readonly consumerGroups: {
    list(eventHub: string): Promise<readonly ConsumerGroupJson[]>;
    create(eventHub: string, name: string): Promise<ConsumerGroupJson>;
    delete(eventHub: string, name: string): Promise<void>;
  };
  /** Whose devices may connect by certificate. Certificates are PEM. */
  readonly certificateAuthorities: {
    list(): Promise<readonly CertificateAuthority[]>;
    get(name: string): Promise<CertificateAuthority>;
    add(name: string, certificate: string): Promise<CertificateAuthority>;
    prove(name: string, certificate: string): Promise<CertificateAuthority>;
    delete(name: string, options?: Conditional): Promise<void>;
  };
  hub(): Promise<HubFacts>;
}

/** The calls of the management API, sent by `transport`. All reject with `ApiError` when the hub refuses. */
export function apiCalls(transport: ApiTransport): ApiCalls {
  const device = (id: string): string => `/devices/${encodeURIComponent(id)}`;
  const module = (id: string, moduleId: string): string => `${device(id)}/modules/${encodeURIComponent(moduleId)}`;
  const groups = (hub: string): string => `/mooring/v1/event-hubs/${encodeURIComponent(hub)}/consumer-groups`;
  const group = (hub: string, name: string): string => `${groups(hub)}/${encodeURIComponent(name)}`;
  const authorities = '/mooring/v1/certificate-authorities';
  const authority = (name: string): string => `${authorities}/${encodeURIComponent(name)}`;
  const none = z.unknown();
  const call = <T>(answer: z.ZodType<T>, method: ApiRequest['method'], path: string, extra: Extra = {}): Promise<T> =>
    exchange(transport, answer, method, path, extra);

  return {
    devices: {
      create: (id, draft = {}) => call(deviceSchema, 'PUT', device(id), { body: { ...draft, deviceId: id } }),
      get: (id) => call(deviceSchema, 'GET', device(id)),
      list: ({ top } = {}) =>
        call(z.array(deviceSchema), 'GET', '/devices', top === undefined ? {} : { query: { top: String(top) } }),
      update: (id, draft, { ifMatch = '*' } = {}) =>
        call(deviceSchema, 'PUT', device(id), { body: { ...draft, deviceId: id }, ifMatch }),
      delete: async (id, { ifMatch = '*' } = {}) => void (await call(none, 'DELETE', device(id), { ifMatch })),
      bulk: (items) => call(bulkResultSchema, 'POST', '/devices', { body: items }),
    },
    modules: {
      create: (id, moduleId, draft = {}) =>
        call(moduleSchema, 'PUT', module(id, moduleId), { body: { ...draft, deviceId: id, moduleId } }),
      get: (id, moduleId) => call(moduleSchema, 'GET', module(id, moduleId)),
      list: (id) => call(z.array(moduleSchema), 'GET', `${device(id)}/modules`),
      update: (id, moduleId, draft, { ifMatch = '*' } = {}) =>
        call(moduleSchema, 'PUT', module(id, moduleId), { body: { ...draft, deviceId: id, moduleId }, ifMatch }),
      delete: async (id, moduleId, { ifMatch = '*' } = {}) =>
        void (await call(none, 'DELETE', module(id, moduleId), { ifMatch })),
    },
    statistics: {
      devices: () => call(deviceStatisticsSchema, 'GET', '/statistics/devices'),
      service: () => call(serviceStatisticsSchema, 'GET', '/statistics/service'),
    },
    consumerGroups: {
      list: (hub) => call(z.array(consumerGroupSchema), 'GET', groups(hub)),
      create: (hub, name) => call(consumerGroupSchema, 'PUT', group(hub, name)),
      delete: async (hub, name) => void (await call(none, 'DELETE', group(hub, name))),
    },
    certificateAuthorities: {
      list: () => call(z.array(certificateAuthoritySchema), 'GET', authorities),
      get: (name) => call(certificateAuthoritySchema, 'GET', authority(name)),
      add: (name, certificate) => call(certificateAuthoritySchema, 'PUT', authority(name), { body: { certificate } }),
      prove: (name, certificate) =>
        call(certificateAuthoritySchema, 'POST', `${authority(name)}/proof`, { body: { certificate } }),
      delete: async (name, { ifMatch = '*' } = {}) => void (await call(none, 'DELETE', authority(name), { ifMatch })),
    },
    hub: () => call(hubFactsSchema, 'GET', '/mooring/v1/hub'),
  };
}

interface Extra {
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  readonly ifMatch?: string;
}

async function exchange<T>(
  transport: ApiTransport,
  answer: z.ZodType<T>,
  method: ApiRequest['method'],
  path: string,
  { query, body, ifMatch }: Extra,
): Promise<T> {
  const response = await transport({
    method,
    path: `${path}?${new URLSearchParams({ ...query, 'api-version': API_VERSION })}`,
    headers: {
      accept: 'application/json',
      ...(body === undefined ? {} : { 'content-type': 'application/json; charset=utf-8' }),
      ...(ifMatch === undefined ? {} : { 'if-match': `"${ifMatch}"` }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const content = parseJson(response.body);
  // A bulk request that failed in part is answered 400 with the result itself (service reference 2.1).
  const isResult = response.status === 400 && bulkResultSchema.safeParse(content).success;
  if (response.status >= 400 && !isResult) throw refusalOf(response, content);
  const parsed = answer.safeParse(content);
  if (response.status >= 200 && (response.status < 300 || isResult) && parsed.success) return parsed.data;
  const what = parsed.success ? `status ${response.status}` : parsed.error.issues.map(issueText).slice(0, 3).join(', ');
  throw new UnexpectedAnswerError(`${method} ${path}: the answer is not one of a Mooring hub (${what}).`);
}

function refusalOf(response: ApiResponse, content: unknown): Error {
  const body = errorBodySchema.safeParse(content);
  const match = body.success ? /^ErrorCode:([^;]*);([\s\S]*)$/.exec(body.data.Message) : null;
  const code = match?.[1] ?? response.headers['iothub-errorcode'] ?? `Status${response.status}`;
  const retryAfter = Number(response.headers['retry-after'] ?? Number.NaN);
  return new ApiError(match?.[2] ?? `The server answered with status ${response.status}.`, {
    status: response.status,
    code,
    requestId: response.headers['x-ms-request-id'],
    retryAfterSeconds: Number.isFinite(retryAfter) ? retryAfter : undefined,
  });
}

function parseJson(text: string): unknown {
  if (text === '') return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const issueText = (issue: z.core.$ZodIssue): string => `${issue.path.join('.') || 'body'}: ${issue.message}`;
