/**
 * The frame of the API: how a request is authenticated, read, checked, handed to its operation and answered. The
 * operations themselves are tables of `ApiRoute`; nothing here knows them.
 *
 * Order: path found -> token -> api-version -> body read (bounded) -> query and body checked -> operation. Everything
 * thrown on the way leaves through `refusals.ts`.
 */

import type http from 'node:http';
import swagger from '@fastify/swagger';
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest, type FastifySchema } from 'fastify';
import { z } from 'zod';
import { errorBodySchema } from '../../api/hub.ts';
import { limits } from '../../base/limits.ts';
import { uuid } from '../../base/random.ts';
import { HubError } from '../../core/errors.ts';
import type { Hub } from '../../core/hub.ts';
import type { Principal } from '../../core/identity/types.ts';
import { audienceOf, checkApiVersion, ifMatchOf, overriddenMethod, type PathParameters, pathOf } from './addresses.ts';
import { hubErrorOf, invalidArgument, refusalOf } from './refusals.ts';

export type Method = 'GET' | 'PUT' | 'POST' | 'DELETE' | 'PATCH';

/** One operation of the API: its address, its shapes, and what it does. */
export interface ApiRoute<Body = unknown, Query = unknown> {
  readonly method: Method;
  readonly url: string;
  readonly summary: string;
  readonly tag: string;
  readonly body?: z.ZodType<Body>;
  readonly query?: z.ZodType<Query>;
  /** What the answers hold, by status; null = nothing. */
  readonly answers: Readonly<Record<number, z.ZodType | null>>;
  handle(call: ApiCall<Body, Query>): Promise<ApiAnswer>;
}

export interface ApiCall<Body, Query> {
  readonly principal: Principal;
  readonly params: PathParameters & Readonly<Record<string, string | undefined>>;
  readonly body: Body;
  readonly query: Query;
  /** Unquoted, or `*`; absent = not sent. */
  readonly ifMatch: string | undefined;
}

export interface ApiAnswer {
  readonly status: number;
  readonly body?: unknown;
  /** Unquoted. */
  readonly etag?: string;
  readonly errorCode?: string;
}

/** Keeps the types of a route's shapes while routes of different shapes stand in one table. */
export function route<Body, Query>(definition: ApiRoute<Body, Query>): ApiRoute {
  return definition as ApiRoute;
}

const methods: readonly Method[] = ['GET', 'PUT', 'POST', 'DELETE', 'PATCH'];

/** An address whose room does not exist: any method, anything below it where the URL ends in `*`. */
export interface AbsentRoute {
  readonly url: string;
  /** Where the same path means something else with other methods. */
  readonly method?: Method;
}

export interface AppOptions {
  readonly hub: Hub;
  readonly routes: readonly ApiRoute[];
  readonly absent: readonly AbsentRoute[];
  serverFactory?(handler: http.RequestListener): http.Server;
}

/** The app without sockets: `inject` tests it, `server.ts` puts it behind TLS. */
export async function buildApp({ hub, routes, absent, serverFactory }: AppOptions): Promise<FastifyInstance> {
  const app = fastify({
    ...(serverFactory === undefined ? {} : { serverFactory }),
    bodyLimit: limits.requestBytesMax,
    genReqId: () => uuid(hub.random),
    requestIdHeader: false,
    exposeHeadRoutes: false,
    return503OnClosing: false,
    // Fixed segments compare without case, ids keep theirs; slashes may be doubled or trail (device reference 4).
    routerOptions: {
      caseSensitive: false,
      ignoreTrailingSlash: true,
      ignoreDuplicateSlashes: true,
      maxParamLength: limits.identityIdCharsMax * 9,
    },
    frameworkErrors: (error, request, reply) => sendRefusal(hub, error, request, reply),
    rewriteUrl: (request) => {
      // The one place that sees a request before its route is chosen.
      const method = overriddenMethod(request);
      if (method !== undefined) request.method = method;
      return request.url ?? '/';
    },
  });
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'buffer' }, async (request: FastifyRequest, body: Buffer) =>
    parseBody(request, body),
  );
  // Checks happen in `call` below, where zod's types are known; the schemas of routes are for OpenAPI.
  app.setValidatorCompiler(() => () => true);
  app.setSerializerCompiler(() => (value) => JSON.stringify(value));
  app.setErrorHandler((error, request, reply) => sendRefusal(hub, error, request, reply));
  app.setNotFoundHandler((request, reply) => {
    const text = `There is nothing at ${request.method} of this path.`;
    return sendRefusal(hub, new HubError('AmqpAddressNotFound', text), request, reply);
  });
  app.addHook('onResponse', async (request, reply) => {
    hub.log.debug(
      {
        requestId: request.id,
        peer: request.socket.remoteAddress,
        method: request.method,
        route: request.routeOptions.url,
        status: reply.statusCode,
        ms: Math.round(reply.elapsedTime),
      },
      'HTTP request answered',
    );
  });
  await app.register(swagger, {
    openapi: {
      openapi: '3.0.3',
      info: { title: 'Mooring management API', version: '1', description: apiDescription },
      components: { securitySchemes: { sas: { type: 'apiKey', in: 'header', name: 'Authorization' } } },
      security: [{ sas: [] }],
    },
    transform: ({ schema, url }) => ({ schema: toJsonSchemas(schema), url }),
  });
  for (const definition of routes) addRoute(app, hub, definition);
  addMissingMethods(app, routes);
  for (const { url, method } of absent) addAbsent(app, hub, url, method);
  await app.ready();
  return app;
}

const apiDescription =
  'Identities of devices and modules as the Azure IoT service SDKs use them, and what this hub adds under /mooring/v1. ' +
  'Send a shared access signature of a policy as the whole Authorization header.';

function addRoute(app: FastifyInstance, hub: Hub, definition: ApiRoute): void {
  const { method, url, summary, tag, body, query, answers } = definition;
  const isVersioned = !url.startsWith('/mooring/');
  const principals = new WeakMap<FastifyRequest, Principal>();
  const version = z.object({ 'api-version': z.string() });
  const querystring = isVersioned ? (query === undefined ? version : version.and(query)) : query;
  const response = Object.fromEntries(Object.entries(answers).map(([status, schema]) => [status, schema ?? z.null()]));
  const schema = {
    summary,
    tags: [tag],
    ...(body === undefined ? {} : { body }),
    ...(querystring === undefined ? {} : { querystring }),
    ...(url.includes(':') ? { params: pathSchema(url) } : {}),
    response: { ...response, '4xx': errorBodySchema },
  };
  app.route({
    method,
    url,
    schema: schema as FastifySchema,
    // Before the body is read: who is unknown does not get anything parsed.
    onRequest: async (request) => {
      principals.set(request, await authenticate(hub, request));
      if (isVersioned) checkApiVersion(request.query);
    },
    handler: async (request, reply) => {
      const principal = principals.get(request);
      if (principal === undefined)
        throw new HubError('IotHubUnauthorized', undefined, { reason: 'missing-credential' });
      const answer = await definition.handle({
        principal,
        params: request.params as ApiCall<unknown, unknown>['params'],
        body: body === undefined ? undefined : checked(body, request.body, 'body'),
        query: query === undefined ? undefined : checked(query, request.query, 'query'),
        ifMatch: ifMatchOf(request.headers['if-match']),
      });
      return sendAnswer(request, reply, answer);
    },
  });
}

function checked<T>(schema: z.ZodType<T>, value: unknown, where: 'body' | 'query'): T {
  if (value === undefined) throw new HubError('ArgumentNull', `The ${where} is missing.`);
  const result = schema.safeParse(value);
  if (!result.success) throw invalidArgument(result.error, where);
  return result.data;
}

/** The other methods of a known path are refused as such, not as an unknown path. */
function addMissingMethods(app: FastifyInstance, routes: readonly ApiRoute[]): void {
  for (const url of new Set(routes.map((entry) => entry.url))) {
    const known = routes.filter((entry) => entry.url === url).map((entry) => entry.method);
    app.route({
      method: [...methods.filter((method) => !known.includes(method)), 'HEAD', 'OPTIONS'],
      url,
      schema: { hide: true },
      handler: async (_request, reply) => {
        reply.header('allow', known.join(', '));
        throw new HubError('GenericMethodNotAllowed');
      },
    });
  }
}

/** What the emulated service offers and this hub does not: said to whoever may ask at all. */
function addAbsent(app: FastifyInstance, hub: Hub, url: string, method: Method | undefined): void {
  app.route({
    method: method ?? [...methods],
    url,
    schema: { hide: true },
    onRequest: async (request) => {
      await authenticate(hub, request);
      throw new HubError('OperationNotAvailable');
    },
    handler: async () => {
      throw new HubError('OperationNotAvailable');
    },
  });
}

/** @throws HubError IotHubUnauthorized, the same for whatever fails */
async function authenticate(hub: Hub, request: FastifyRequest): Promise<Principal> {
  const token = request.headers.authorization?.trim();
  if (token === undefined || token === '') {
    throw new HubError('IotHubUnauthorized', undefined, { reason: 'missing-credential' });
  }
  if (token.length > limits.tokenCharsMax) {
    throw new HubError('IotHubUnauthorized', undefined, { reason: 'malformed-token' });
  }
  // Under the hub's own name, not the one that the client dialled: behind a gateway the two differ (device reference 1.3).
  const audience = audienceOf(hub.hostNames.all[0], pathOf(request.url), request.params as PathParameters);
  return hub.authentication.token(token, audience);
}

/** JSON in UTF-8, whatever the parameters of its content type; nothing when there is nothing. */
function parseBody(request: FastifyRequest, body: Buffer): unknown {
  if (body.length === 0) return undefined;
  const type = request.headers['content-type']?.split(';')[0].trim().toLowerCase();
  const coding = request.headers['content-encoding'];
  if ((type !== undefined && type !== 'application/json') || (coding !== undefined && coding !== 'identity')) {
    throw new HubError('UnsupportedMediaType', 'The body must be JSON (application/json), not encoded otherwise.');
  }
  try {
    return JSON.parse(utf8.decode(body));
  } catch {
    // The parser's own message quotes the text, in which keys may stand.
    throw new HubError('IotHubFormatError', 'The body is not JSON in UTF-8.');
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

function sendAnswer(request: FastifyRequest, reply: FastifyReply, answer: ApiAnswer): FastifyReply {
  reply.code(answer.status).header('x-ms-request-id', request.id);
  if (answer.etag !== undefined) reply.header('etag', `"${answer.etag}"`);
  if (answer.errorCode !== undefined) reply.header('iothub-errorcode', answer.errorCode);
  if (answer.body === undefined) return reply.send();
  // Node's SDK reads the body only under this content type (service reference 1.6).
  return reply.header('content-type', 'application/json; charset=utf-8').send(JSON.stringify(answer.body));
}

function sendRefusal(hub: Hub, error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const refused = hubErrorOf(error);
  const fields = { requestId: request.id, peer: request.socket.remoteAddress, method: request.method };
  if (refused.code === 'ServerError') {
    hub.log.error({ ...fields, error: causeText(refused) }, 'HTTP request failed');
  } else if (refused.status === 401) {
    hub.log.info({ ...fields, reason: refused.reason }, 'HTTP request refused');
  }
  const refusal = refusalOf(refused, { requestId: request.id, now: hub.clock.now() });
  return reply.code(refusal.status).headers(refusal.headers).send(JSON.stringify(refusal.body));
}

function causeText(error: HubError): string {
  const cause = error.cause ?? error;
  return cause instanceof Error ? (cause.stack ?? cause.message) : String(cause);
}

function pathSchema(url: string): z.ZodType {
  const names = [...url.matchAll(/:(\w+)/g)].map((match) => match[1]);
  return z.object(Object.fromEntries(names.map((name) => [name, z.string()])));
}

/** zod -> JSON Schema for the OpenAPI document: what requests may hold, what answers do hold. */
function toJsonSchemas(schema: FastifySchema): FastifySchema {
  const convert = (value: unknown, io: 'input' | 'output'): unknown => {
    if (!(value instanceof z.ZodType)) return value;
    const { $schema: _, ...json } = z.toJSONSchema(value, { io, target: 'openapi-3.0' });
    return json;
  };
  const given = schema as FastifySchema & Record<string, unknown>;
  const out: Record<string, unknown> = { ...given };
  for (const part of ['body', 'querystring', 'params'] as const) {
    if (given[part] !== undefined) out[part] = convert(given[part], 'input');
  }
  if (given.response !== undefined) {
    const answers = Object.entries(given.response as Record<string, unknown>);
    out.response = Object.fromEntries(answers.map(([status, value]) => [status, convert(value, 'output')]));
  }
  return out;
}
