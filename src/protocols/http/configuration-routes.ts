/** Configurations and Edge deployments over REST (query reference 4). */
import { z } from 'zod';
import {
  appliedContentSchema,
  configurationDraftSchema,
  configurationSchema,
  testedErrorsSchema,
  testedQueriesSchema,
} from '../../api/configurations.ts';
import type { Hub } from '../../core/hub.ts';
import { identityKey } from './addresses.ts';
import {
  appliedContent,
  configurationDraft,
  configurationJson,
  readBody,
  testedErrorsJson,
  testedQueries,
} from './configuration-mapping.ts';
import { topOf } from './registry-routes.ts';
import { type ApiRoute, bytesRoute, route } from './route.ts';

const url = '/configurations';
const one = `${url}/:configurationId`;
const tag = 'configurations';
/** A `top` that is no number, or more than there are, is all: the service does not refuse it. */
const listQuery = z.object({ top: z.string().optional() });

export function configurationRoutes({ configurations }: Pick<Hub, 'configurations'>): readonly ApiRoute[] {
  const idOf = (params: Readonly<Record<string, string | undefined>>): string => params.configurationId ?? '';
  return [
    route({
      method: 'GET',
      url,
      summary: 'Configurations and Edge deployments, in order of id',
      tag,
      query: listQuery,
      answers: { 200: z.array(configurationSchema) },
      handle: async ({ principal, query }) => {
        const all = await configurations.list(principal, topOf(query.top));
        return { status: 200, body: all.map(configurationJson) };
      },
    }),
    route({
      method: 'GET',
      url: one,
      summary: 'One configuration, with what its metrics count',
      tag,
      answers: { 200: configurationSchema },
      handle: async ({ principal, params }) => {
        const kept = await configurations.get(principal, idOf(params));
        return { status: 200, body: configurationJson(kept), etag: kept.etag };
      },
    }),
    bytesRoute({
      method: 'PUT',
      url: one,
      summary: 'Creates a configuration, or with If-Match changes it; its content stays',
      tag,
      body: 'bytes',
      bodyShape: configurationDraftSchema,
      answers: { 200: configurationSchema },
      handle: async ({ principal, params, body, ifMatch }) => {
        const draft = configurationDraft(idOf(params), readBody(body, configurationDraftSchema));
        const kept = await configurations.put(principal, draft, ifMatch);
        return { status: 200, body: configurationJson(kept), etag: kept.etag };
      },
    }),
    route({
      method: 'DELETE',
      url: one,
      summary: 'Deletes a configuration: what it has set is taken away, and the next priority applies',
      tag,
      answers: { 204: null },
      handle: async ({ principal, params, ifMatch }) => {
        await configurations.delete(principal, idOf(params), ifMatch);
        return { status: 204 };
      },
    }),
    bytesRoute({
      method: 'POST',
      url: `${url}/testQueries`,
      summary: 'What is wrong with a target condition and with queries of metrics',
      tag,
      body: 'bytes',
      bodyShape: testedQueriesSchema,
      answers: { 200: testedErrorsSchema },
      handle: async ({ principal, body }) => {
        const queries = testedQueries(readBody(body, testedQueriesSchema));
        return { status: 200, body: testedErrorsJson(await configurations.test(principal, queries)) };
      },
    }),
    bytesRoute({
      method: 'POST',
      url: '/devices/:deviceId/applyConfigurationContent',
      summary: 'Sets content once on the modules of an edge device; makes those that it does not have',
      tag,
      body: 'bytes',
      bodyShape: appliedContentSchema,
      answers: { 204: null },
      handle: async ({ principal, params, body }) => {
        const content = appliedContent(readBody(body, appliedContentSchema));
        await configurations.apply(principal, identityKey(params).deviceId, content);
        return { status: 204 };
      },
    }),
  ];
}
