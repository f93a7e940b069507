/** Calls of routes, endpoints and enrichments. */
import { type ApiTransport, exchange } from './exchange.ts';
import {
  type EndpointStateJson,
  endpointStatesSchema,
  type RoutesJson,
  type RouteTestJson,
  type RouteTrialJson,
  routesSchema,
  routeTrialSchema,
} from './routes.ts';

export interface RouteCalls {
  get(): Promise<RoutesJson>;
  /** Replaces all of them. @param ifMatch The number of those that it is to replace */
  replace(declaration: object, ifMatch?: string): Promise<RoutesJson>;
  put(part: RoutePartJson, name: string, entry: object): Promise<RoutesJson>;
  remove(part: RoutePartJson, name: string): Promise<RoutesJson>;
  test(event: RouteTestJson): Promise<RouteTrialJson>;
  endpoints(): Promise<readonly EndpointStateJson[]>;
}

export type RoutePartJson = 'routes' | 'endpoints' | 'enrichments';

export function routeCalls(transport: ApiTransport): RouteCalls {
  const url = '/mooring/v1/routes';
  const one = (part: RoutePartJson, name: string): string => `/mooring/v1/${part}/${encodeURIComponent(name)}`;
  return {
    get: async () => (await exchange(transport, routesSchema, 'GET', url)).data,
    replace: async (body, ifMatch) =>
      (await exchange(transport, routesSchema, 'PUT', url, { body, ...(ifMatch !== undefined && { ifMatch }) })).data,
    put: async (part, name, body) => (await exchange(transport, routesSchema, 'PUT', one(part, name), { body })).data,
    remove: async (part, name) => (await exchange(transport, routesSchema, 'DELETE', one(part, name))).data,
    test: async (body) => (await exchange(transport, routeTrialSchema, 'POST', `${url}/test`, { body })).data,
    endpoints: async () =>
      (await exchange(transport, endpointStatesSchema, 'GET', '/mooring/v1/endpoints')).data.endpoints,
  };
}
