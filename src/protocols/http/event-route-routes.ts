/** Routes of events, endpoints and enrichments: this hub's own, under `/mooring/v1`. */
import { z } from 'zod';
import {
  declarationSchema,
  endpointStatesSchema,
  type RoutesJson,
  routesSchema,
  routeTestSchema,
  routeTrialSchema,
} from '../../api/routes.ts';
import { limits } from '../../base/limits.ts';
import { HubError } from '../../core/errors.ts';
import type { Guarded } from '../../core/identity/guard.ts';
import { shownEndpoint } from '../../core/routes/endpoints/kinds.ts';
import type { RoutePart, Routes } from '../../core/routes/room.ts';
import type { RouteSet } from '../../core/routes/types.ts';
import { parseJson, refusePrototypeName } from './json-body.ts';
import { type ApiAnswer, type ApiRoute, bytesRoute, route } from './route.ts';

const url = '/mooring/v1/routes';
const tag = 'routes';

/** Lists of a declaration that can be changed entry by entry. */
const parts: readonly { readonly part: RoutePart; readonly url: string; readonly one: string }[] = [
  { part: 'routes', url, one: 'a route' },
  { part: 'endpoints', url: '/mooring/v1/endpoints', one: 'an endpoint' },
  { part: 'enrichments', url: '/mooring/v1/enrichments', one: 'an enrichment' },
];

export function eventRouteRoutes(routes: Guarded<Routes>): readonly ApiRoute[] {
  return [
    route({
      method: 'GET',
      url,
      summary: 'Routes, enrichments and endpoints in force; secrets are not shown',
      tag,
      answers: { 200: routesSchema },
      handle: async ({ principal }) => answer(await routes.get(principal)),
    }),
    bytesRoute({
      method: 'PUT',
      url,
      summary: 'Replaces them all; with If-Match only if nobody else has changed them',
      tag,
      body: 'bytes',
      bodyShape: declarationSchema,
      answers: { 200: routesSchema },
      handle: async ({ principal, body, ifMatch }) => {
        const { number: _number, ...declaration } = objectOf(body);
        return answer(await routes.replace(principal, declaration, numberOf(ifMatch)));
      },
    }),
    ...parts.flatMap(({ part, url: address, one }) => [
      bytesRoute({
        method: 'PUT',
        url: `${address}/:name`,
        summary: `Adds ${one}, or replaces the one of this name`,
        tag,
        body: 'bytes',
        bodyShape: z.looseObject({}),
        answers: { 200: routesSchema },
        handle: async ({ principal, params, body }) => {
          const given = objectOf(body);
          const [member, name] = [part === 'enrichments' ? 'key' : 'name', params.name ?? ''];
          if (given[member] !== undefined && given[member] !== name) {
            throw new HubError('ArgumentInvalid', `${member}: the body has another one than the address.`);
          }
          return answer(await routes.put(principal, part, { ...given, [member]: name }));
        },
      }),
      route({
        method: 'DELETE',
        url: `${address}/:name`,
        summary: `Removes ${one}`,
        tag,
        answers: { 200: routesSchema },
        handle: async ({ principal, params }) => answer(await routes.remove(principal, part, params.name ?? '')),
      }),
    ]),
    route({
      method: 'GET',
      url: '/mooring/v1/endpoints',
      summary: 'How delivery to each endpoint goes: its health, why, since when, and how far it is behind',
      tag,
      answers: { 200: endpointStatesSchema },
      handle: async ({ principal }) => {
        const states = await routes.states(principal);
        const endpoints = states.map((state) => ({ ...state, since: new Date(state.since).toISOString() }));
        return { status: 200, body: { endpoints } };
      },
    }),
    route({
      method: 'POST',
      url: `${url}/test`,
      summary: 'Which routes take a message that is made up, and why others do not',
      tag,
      body: routeTestSchema,
      answers: { 200: routeTrialSchema },
      handle: async ({ principal, body }) => {
        const { properties = {}, systemProperties = {}, body: text = '', bodyEncoding = 'text', ...rest } = body;
        const bytes = Buffer.from(text, bodyEncoding === 'text' ? 'utf8' : 'base64');
        const event = { ...definedOf(rest), properties, systemProperties, body: bytes };
        const { answers, endpoints, byFallback } = await routes.test(principal, event);
        return { status: 200, body: { endpoints, byFallback, routes: answers } };
      },
    }),
  ];
}

function definedOf<Value extends object>(value: Value): { [Name in keyof Value]: Exclude<Value[Name], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, each]) => each !== undefined)) as never;
}

function objectOf(body: Buffer): Record<string, unknown> {
  const json = parseJson(body, { valuesMax: limits.routesValuesMax });
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw new HubError('ArgumentInvalid', 'The body is a JSON object.');
  }
  refusePrototypeName(json);
  return json as Record<string, unknown>;
}

function numberOf(ifMatch: string | undefined): number | undefined {
  if (ifMatch === undefined || ifMatch === '*') return undefined;
  if (/^\d{1,15}$/.test(ifMatch)) return Number(ifMatch);
  throw new HubError('PreconditionFailed', 'The ETag is none of the routes.');
}

function answer(set: RouteSet): ApiAnswer {
  const { number, routes, fallback, enrichments, endpoints } = set;
  const body: RoutesJson = {
    ...{ number, routes: [...routes], fallback },
    enrichments: enrichments.map(({ endpoints: names, ...each }) => ({ ...each, endpoints: [...names] })),
    endpoints: endpoints.map(({ endpoint }) => shownEndpoint(endpoint) as RoutesJson['endpoints'][number]),
  };
  return { status: 200, body, etag: String(number) };
}
