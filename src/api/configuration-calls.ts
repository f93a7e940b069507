/** Calls about configurations and Edge deployments. */
import { z } from 'zod';
import {
  type appliedContentSchema,
  type ConfigurationDraftJson,
  type ConfigurationJson,
  configurationSchema,
  type TestedErrorsJson,
  testedErrorsSchema,
  type testedQueriesSchema,
} from './configurations.ts';
import { type ApiTransport, exchange } from './exchange.ts';

export interface ConfigurationCalls {
  /** In order of id. */
  list(options?: { readonly top?: number }): Promise<readonly ConfigurationJson[]>;
  get(id: string): Promise<ConfigurationJson>;
  create(id: string, draft: ConfigurationDraftJson): Promise<ConfigurationJson>;
  /** All of it, its content apart, is as the draft says afterwards. */
  update(
    id: string,
    draft: ConfigurationDraftJson,
    options?: { readonly ifMatch?: string },
  ): Promise<ConfigurationJson>;
  delete(id: string, options?: { readonly ifMatch?: string }): Promise<void>;
  test(queries: z.input<typeof testedQueriesSchema>): Promise<TestedErrorsJson>;
  /** Sets content once on the modules of an edge device. */
  apply(deviceId: string, content: z.input<typeof appliedContentSchema>): Promise<void>;
}

export function configurationCalls(transport: ApiTransport): ConfigurationCalls {
  const url = '/configurations';
  const path = (id: string): string => `${url}/${encodeURIComponent(id)}`;
  const answered = async <T>(
    schema: z.ZodType<T>,
    ...[method, where, extra]: [Parameters<typeof exchange>[2], string, Parameters<typeof exchange>[4]?]
  ): Promise<T> => (await exchange(transport, schema, method, where, extra)).data;
  return {
    list: ({ top } = {}) =>
      answered(z.array(configurationSchema), 'GET', url, top === undefined ? {} : { query: { top: String(top) } }),
    get: (id) => answered(configurationSchema, 'GET', path(id)),
    create: (id, draft) => answered(configurationSchema, 'PUT', path(id), { body: { ...draft, id } }),
    update: (id, draft, { ifMatch = '*' } = {}) =>
      answered(configurationSchema, 'PUT', path(id), { body: { ...draft, id }, ifMatch }),
    delete: async (id, { ifMatch = '*' } = {}) => void (await answered(z.unknown(), 'DELETE', path(id), { ifMatch })),
    test: (body) => answered(testedErrorsSchema, 'POST', `${url}/testQueries`, { body }),
    apply: async (deviceId, body) => {
      const to = `/devices/${encodeURIComponent(deviceId)}/applyConfigurationContent`;
      await answered(z.unknown(), 'POST', to, { body });
    },
  };
}
