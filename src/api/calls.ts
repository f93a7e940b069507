/** The typed calls of the management API over any transport: `client.ts` gives Node's, a browser its own `fetch`. */
import { z } from 'zod';
import { type ArchiveCalls, archiveCalls } from './archive-calls.ts';
import {
  type CertificateAuthority,
  certificateAuthoritySchema,
  type ServerAuthorityJson,
  serverAuthoritySchema,
} from './authorities.ts';
import { type CommandCalls, commandCalls } from './command-calls.ts';
import { type ConfigurationCalls, configurationCalls } from './configuration-calls.ts';
import { type ApiRequest, type ApiTransport, type Extra, exchange } from './exchange.ts';
import type { ConsumerGroupJson, HubFacts } from './hub.ts';
import { consumerGroupSchema, hubFactsSchema } from './hub.ts';
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
import { type JobCalls, jobCalls } from './job-calls.ts';
import { type NodeJson, nodeSchema } from './nodes.ts';
import { type QueryCalls, queryCalls } from './query-calls.ts';
import { type RouteCalls, routeCalls } from './route-calls.ts';
import { type TwinCalls, twinCalls } from './twin-calls.ts';

export {
  API_VERSION,
  ApiError,
  type ApiRequest,
  type ApiResponse,
  type ApiTransport,
  UnexpectedAnswerError,
} from './exchange.ts';

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
    /** Replaces the whole device: what the draft leaves out takes its default, and keys are regenerated. */
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
  readonly commands: CommandCalls;
  readonly twins: TwinCalls;
  readonly queries: QueryCalls;
  readonly jobs: JobCalls;
  readonly archives: ArchiveCalls;
  readonly routes: RouteCalls;
  readonly configurations: ConfigurationCalls;
  /** The authority behind the hub's own certificate, and its roll-over. */
  readonly serverAuthority: {
    get(): Promise<ServerAuthorityJson>;
    offer(): Promise<ServerAuthorityJson>;
    switchOver(options?: { readonly force?: boolean }): Promise<ServerAuthorityJson>;
    withdraw(): Promise<ServerAuthorityJson>;
  };
  /** The processes that serve the hub together. */
  readonly nodes: {
    list(): Promise<readonly NodeJson[]>;
    drain(name: string): Promise<NodeJson>;
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
  const serverAuthority = '/mooring/v1/server-authority';
  const none = z.unknown();
  const call = <T>(answer: z.ZodType<T>, method: ApiRequest['method'], path: string, extra: Extra = {}): Promise<T> =>
    exchange(transport, answer, method, path, extra).then(({ data }) => data);

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
    commands: commandCalls(transport),
    twins: twinCalls(transport),
    queries: queryCalls(transport),
    jobs: jobCalls(transport),
    archives: archiveCalls(transport),
    routes: routeCalls(transport),
    configurations: configurationCalls(transport),
    serverAuthority: {
      get: () => call(serverAuthoritySchema, 'GET', serverAuthority),
      offer: () => call(serverAuthoritySchema, 'POST', `${serverAuthority}/offer`),
      switchOver: (options = {}) => call(serverAuthoritySchema, 'POST', `${serverAuthority}/switch`, { body: options }),
      withdraw: () => call(serverAuthoritySchema, 'DELETE', `${serverAuthority}/offer`),
    },
    nodes: {
      list: () => call(z.array(nodeSchema), 'GET', '/mooring/v1/nodes'),
      drain: (name) => call(nodeSchema, 'POST', `/mooring/v1/nodes/${encodeURIComponent(name)}/drain`),
    },
    hub: () => call(hubFactsSchema, 'GET', '/mooring/v1/hub'),
  };
}
