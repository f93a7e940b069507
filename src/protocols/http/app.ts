/**
 * The frame of the API: how a request is authenticated, read, checked, handed to its operation and answered. The
 * operations themselves are tables of `ApiRoute`; nothing here knows them.
 *
 * Order: path found -> token -> api-version -> body read (bounded) -> query and body checked -> operation. Everything
 * thrown on the way leaves through `refusals.ts`.
 */

import type http from 'node:http';
import type net from 'node:net';
import type { Readable } from 'node:stream';
import swagger from '@fastify/swagger';
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest, type FastifySchema } from 'fastify';
import type { z } from 'zod';
import { limits } from '../../base/limits.ts';
import { uuid } from '../../base/random.ts';
import { HubError } from '../../core/errors.ts';
import type { Hub } from '../../core/hub.ts';
import type { Credential, Principal } from '../../core/identity/types.ts';
import { credentialShown } from '../shared/credential.ts';
import { peerCertificate } from '../shared/peer-certificate.ts';
import {
  audienceOf,
  checkApiVersion,
  identityKey,
  ifMatchOf,
  overriddenMethod,
  type PathParameters,
  pathOf,
} from './addresses.ts';
import { sendBody } from './files/send-body.ts';
import { answeredElsewhere, awaitsContinue } from './http-server.ts';
import { type JsonBounds, parseJson, refusePrototypeName } from './json-body.ts';
import { openApiOptions, routeSchema } from './openapi.ts';
import { readBody } from './read-body.ts';
import { hubErrorOf, invalidArgument, refusalOf } from './refusals.ts';
import { type RequestShare, RequestShares } from './request-shares.ts';
import type { AbsentRoute, ApiAnswer, ApiCall, ApiRoute, Method } from './route.ts';

const methods: readonly Method[] = ['GET', 'PUT', 'POST', 'DELETE', 'PATCH'];

export interface AppOptions {
  readonly hub: Hub;
  readonly routes: readonly ApiRoute[];
  readonly absent: readonly AbsentRoute[];
  serverFactory?(handler: http.RequestListener): http.Server;
  /** A request on the socket has proved whose it is. */
  proved?(socket: net.Socket, principal: Principal): void;
  /** Who asks, where a token does not say it; such callers name no `api-version`. */
  caller?(request: http.IncomingMessage): Principal | undefined;
}

/** The app without sockets: `inject` tests it, `server.ts` puts it behind TLS. */
export async function buildApp({
  hub,
  routes,
  absent,
  serverFactory,
  proved,
  caller,
}: AppOptions): Promise<FastifyInstance> {
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
    clientErrorHandler: answeredElsewhere,
    rewriteUrl: (request) => {
      // The one place that sees a request before its route is chosen.
      const method = overriddenMethod(request);
      if (method !== undefined) request.method = method;
      return request.url ?? '/';
    },
  });
  app.removeAllContentTypeParsers();
  const shares = new RequestShares();
  const taken = new WeakMap<FastifyRequest, RequestShare>();
  app.addContentTypeParser('*', async (request: FastifyRequest, payload: Readable) => {
    const share = taken.get(request);
    // No client has proved who it is: what was sent is not kept.
    if (share === undefined) return undefined;
    if ((request.routeOptions.config as RouteConfig).takesStream) return undefined;
    const length = request.headers['content-length'];
    const announced = length === undefined ? undefined : Number(length);
    const body = await readBody(payload, announced, (bytes) => share.takeBytes(bytes));
    const turn = body.length > 0 ? share.turn(body.length) : undefined;
    if (turn !== undefined) await turn;
    return parseBody(request, body);
  });
  /** The caller is known: its request counts, and its body may come. */
  const begin: Begin = (request, reply, principal, kind) => {
    proved?.(request.socket, principal);
    // Its end has been told already: what it took would never be given back.
    if (reply.raw.destroyed) throw new HubError('ServiceUnavailable', 'The client has gone.');
    const share = shares.begin(principal, kind);
    taken.set(request, share);
    reply.raw.once('close', () => share.end());
    if (awaitsContinue(request.raw)) reply.raw.writeContinue();
  };
  // Checks happen in `call` below, where zod's types are known; the schemas of routes are for OpenAPI.
  app.setValidatorCompiler(() => () => true);
  app.setSerializerCompiler(() => (value) => JSON.stringify(value));
  app.setErrorHandler((error, request, reply) => sendRefusal(hub, error, request, reply));
  app.setNotFoundHandler((request, reply) => {
    const text = `There is nothing at ${request.method} of this path.`;
    return sendRefusal(hub, new HubError('AmqpAddressNotFound', text), request, reply);
  });
  app.addHook('onResponse', async (request, reply) => {
    taken.get(request)?.end();
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
  // The same routes are described once, by the HTTPS port.
  if (caller === undefined) await app.register(swagger, openApiOptions);
  for (const definition of routes) addRoute(app, hub, definition, begin, caller);
  addMissingMethods(app, routes);
  for (const { url, method } of absent) addAbsent(app, hub, url, method, caller);
  await app.ready();
  return app;
}

/** Told as soon as it is known whose a request is. @throws HubError ThrottlingException */
type Begin = (
  request: FastifyRequest,
  reply: FastifyReply,
  principal: Principal,
  kind: Pick<ApiRoute, 'waits' | 'isLive'>,
) => void;

function addRoute(
  app: FastifyInstance,
  hub: Hub,
  definition: ApiRoute,
  begin: Begin,
  known: AppOptions['caller'],
): void {
  const { method, url, caller, body, query } = definition;
  const isVersioned = !url.startsWith('/mooring/') && caller === undefined && known === undefined;
  const principals = new WeakMap<FastifyRequest, Principal>();
  const add = (served: Method | 'HEAD', schema: FastifySchema) =>
    app.route({
      method: served,
      url,
      schema,
      config: {
        takesBytes: body === 'bytes',
        isJson: definition.bodyShape !== undefined,
        takesStream: body === 'stream',
        bodyBounds: definition.bodyBounds,
      } satisfies RouteConfig,
      // Before the body is read: who is unknown does not get anything parsed.
      onRequest: async (request, reply) => {
        const principal =
          known === undefined
            ? audited(await (caller === 'device' ? authenticateDevice : authenticate)(hub, request))
            : calling(known(request.raw));
        principals.set(request, principal);
        begin(request, reply, principal, definition);
        if (isVersioned) checkApiVersion(request.query);
      },
      handler: async (request, reply) => {
        const principal = principals.get(request);
        if (principal === undefined)
          throw new HubError('IotHubUnauthorized', undefined, { reason: 'missing-credential' });
        const answer = await definition.handle({
          principal,
          params: request.params as ApiCall<unknown, unknown>['params'],
          body: body === 'stream' ? request.raw : bodyOf(body, request.body),
          query: query === undefined ? undefined : checked(query, request.query, 'query'),
          rawHeaders: request.raw.rawHeaders,
          headers: request.headers,
          ifMatch: ifMatchOf(request.headers['if-match']),
          isHead: request.method === 'HEAD',
          get signal() {
            return goneSignal(reply);
          },
        });
        return sendAnswer(request, reply, answer);
      },
    });
  add(method, routeSchema(definition, isVersioned));
  // Of GET, and said with it.
  if (definition.hasHead) add('HEAD', { hide: true });
}

/** What back ends change over this door is told. */
function audited(principal: Principal): Principal {
  return principal.kind === 'policy' ? { ...principal, audited: true } : principal;
}

/** @throws HubError IotHubUnauthorized */
function calling(principal: Principal | undefined): Principal {
  if (principal === undefined) throw new HubError('IotHubUnauthorized', undefined, { reason: 'missing-credential' });
  return principal;
}

/** What a route tells `parseBody`. */
interface RouteConfig {
  readonly takesBytes?: boolean;
  /** Bytes that the route reads as JSON. */
  readonly isJson?: boolean;
  /** The operation reads the body itself. */
  readonly takesStream?: boolean;
  readonly bodyBounds?: JsonBounds;
}

function bodyOf(shape: Exclude<ApiRoute['body'], 'stream'>, body: unknown): unknown {
  if (shape === undefined) return undefined;
  return shape === 'bytes' ? (body ?? NO_BYTES) : checked(shape, body, 'body');
}

const NO_BYTES = Buffer.alloc(0);

function checked<T>(schema: z.ZodType<T>, value: unknown, where: 'body' | 'query'): T {
  if (value === undefined) throw new HubError('ArgumentNull', `The ${where} is missing.`);
  if (where === 'body') refusePrototypeName((value as { readonly properties?: unknown } | null)?.properties);
  const result = schema.safeParse(value);
  if (!result.success) throw invalidArgument(result.error, where);
  return result.data;
}

/** The other methods of a known path are refused as such, not as an unknown path. */
function addMissingMethods(app: FastifyInstance, routes: readonly ApiRoute[]): void {
  for (const url of new Set(routes.map((entry) => entry.url))) {
    const known = routes
      .filter((entry) => entry.url === url)
      .flatMap((entry) => (entry.hasHead ? [entry.method, 'HEAD' as const] : [entry.method]));
    // `/devices/query` is a device's address as well, with the methods of `/devices/:deviceId`.
    const others = routes.filter((entry) => entry.url !== url && isOneOf(url, entry.url));
    const meantElsewhere = (method: string): boolean =>
      others.some((entry) => entry.method === method || (method === 'HEAD' && entry.hasHead === true));
    app.route({
      method: [...methods, 'HEAD' as const, 'OPTIONS'].filter(
        (method) => !known.some((each) => each === method) && !meantElsewhere(method),
      ),
      url,
      schema: { hide: true },
      handler: async (_request, reply) => {
        reply.header('allow', known.join(', '));
        throw new HubError('GenericMethodNotAllowed');
      },
    });
  }
}

/** Whether a path that fits `url` also fits `wider`, which has parameters where `url` has words. */
function isOneOf(url: string, wider: string): boolean {
  const [own, theirs] = [url.split('/'), wider.split('/')];
  return own.length === theirs.length && own.every((part, at) => theirs[at].startsWith(':') || part === theirs[at]);
}

/** Names the operation, so that a developer who sees the SDK's error knows what is missing; ids stand in it by their place only. */
const notOffered = (request: FastifyRequest): HubError =>
  new HubError('OperationNotOffered', `This hub does not offer ${request.method} ${request.routeOptions.url} yet.`);

/** What the emulated service offers and this hub does not: told to any caller that may ask at all. */
function addAbsent(
  app: FastifyInstance,
  hub: Hub,
  url: string,
  method: Method | undefined,
  known: AppOptions['caller'],
): void {
  app.route({
    method: method ?? [...methods],
    url,
    schema: { hide: true },
    onRequest: async (request) => {
      if (known === undefined) await authenticate(hub, request);
      else calling(known(request.raw));
      throw notOffered(request);
    },
    handler: async (request) => {
      throw notOffered(request);
    },
  });
}

/**
 * By the token; or by the certificate of the connection as the identity of the path, where it has one: an X.509 device may
 * ask wherever a device with a token may.
 * @throws HubError IotHubUnauthorized, the same for whatever fails
 */
async function authenticate(hub: Hub, request: FastifyRequest): Promise<Principal> {
  if (credentialOf(request)?.kind === 'certificate' && (request.params as PathParameters).deviceId !== undefined) {
    return authenticateDevice(hub, request);
  }
  // Under the hub's own name, not the one that the client dialled: behind a gateway the two differ (device reference 1.3).
  const audience = audienceOf(hub.hostNames.all[0], pathOf(request.url), request.params as PathParameters);
  return hub.authentication.token(tokenOf(request), audience, request.socket.remoteAddress);
}

/** As the identity of the path. @throws HubError as `authenticate` */
async function authenticateDevice(hub: Hub, request: FastifyRequest): Promise<Principal> {
  const key = identityKey(request.params as PathParameters);
  return hub.authentication.device(key, credentialOf(request), request.socket.remoteAddress);
}

function credentialOf(request: FastifyRequest): Credential | undefined {
  return credentialShown(tokenOf(request), () => peerCertificate(request.socket));
}

/** Undefined = none is shown. */
function tokenOf(request: FastifyRequest): string | undefined {
  return request.headers.authorization?.trim() || undefined;
}

/** Bytes where the route takes them; else JSON in UTF-8, whatever the parameters of its content type; nothing when there is nothing. */
function parseBody(request: FastifyRequest, body: Buffer): unknown {
  const { takesBytes, isJson, bodyBounds } = request.routeOptions.config as RouteConfig;
  if (takesBytes === true && isJson !== true) return body;
  if (body.length === 0) return takesBytes === true ? body : undefined;
  const type = request.headers['content-type']?.split(';')[0].trim().toLowerCase();
  const coding = request.headers['content-encoding'];
  if (
    (type !== undefined && !/^application\/(?:[\w.-]+\+)?json$/.test(type)) ||
    (coding !== undefined && coding !== 'identity')
  ) {
    throw new HubError('UnsupportedMediaType', 'The body must be JSON (application/json), not encoded otherwise.');
  }
  if (takesBytes === true) return body;
  return parseJson(body, bodyBounds ?? { valuesMax: limits.httpJsonValuesMax });
}

function sendAnswer(request: FastifyRequest, reply: FastifyReply, answer: ApiAnswer): FastifyReply {
  reply.code(answer.status).header('x-ms-request-id', request.id);
  // In this spelling: the C SDK compares names by case (device reference 4.2).
  if (answer.etag !== undefined) reply.raw.setHeader('ETag', `"${answer.etag}"`);
  if (answer.errorCode !== undefined) reply.header('iothub-errorcode', answer.errorCode);
  for (const [name, value] of answer.headers ?? []) reply.raw.setHeader(name, value);
  if (answer.stream !== undefined) {
    reply.hijack();
    for (const [name, value] of Object.entries(reply.getHeaders())) reply.raw.setHeader(name, value ?? '');
    reply.raw.writeHead(answer.status);
    sendBody(answer.stream, reply.raw);
    return reply;
  }
  if (answer.bytes !== undefined) return reply.header('content-type', 'application/octet-stream').send(answer.bytes);
  if (answer.body === undefined && answer.jsonText === undefined) return reply.send();
  // Node's SDK reads the body only under this content type (service reference 1.6).
  return reply
    .header('content-type', 'application/json; charset=utf-8')
    .send(answer.jsonText ?? JSON.stringify(answer.body));
}

/** Made for the routes that look at it. */
function goneSignal({ raw }: FastifyReply): AbortSignal {
  const gone = new AbortController();
  if (raw.destroyed) gone.abort(new HubError('ServiceUnavailable', 'The client has gone.'));
  raw.once('close', () => {
    if (!raw.writableFinished) gone.abort(new HubError('ServiceUnavailable', 'The client has gone.'));
  });
  return gone.signal;
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
