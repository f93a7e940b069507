/** The admin port: plain HTTP for people and scrapers on this machine. Health, metrics, the description of the API. */

import type http from 'node:http';
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import type { HealthReport } from '../../api/health.ts';
import { assert } from '../../base/assert.ts';
import { limits } from '../../base/limits.ts';
import { uuid } from '../../base/random.ts';
import { HubError } from '../../core/errors.ts';
import type { Door } from '../shared/door.ts';
import { listen } from '../shared/listener.ts';
import type { UpgradeRoute } from '../shared/upgrade.ts';
import { isLoopback, isOwnHost, isOwnOrigin, tokenOf } from './admin-guard.ts';
import { secured } from './admin-tls.ts';
import { isFileUrl } from './api-routes.ts';
import { answeredElsewhere, createHttpServer, type HttpServer } from './http-server.ts';
import { addEventRoute } from './monitoring-routes.ts';
import type { AdminDoorOptions } from './options.ts';
import { isOwnPage, isPublicHost } from './portal/browser-rules.ts';
import { addPortal } from './portal/portal.ts';
import { hubErrorOf, refusalOf } from './refusals.ts';

/** Opens the admin port. @throws Error naming the setting, when the port cannot be opened. */
export async function openAdminDoor(options: AdminDoorOptions): Promise<Door> {
  let machinery: HttpServer | undefined;
  let endStreams = (): void => {};
  let port = 0;
  // The portal's, which is made after its server.
  const upgrades: UpgradeRoute[] = [];
  const app = await buildAdminApp(
    options,
    (handler) => {
      machinery = createHttpServer(handler, {
        clock: options.hub.clock,
        random: options.hub.random,
        log: options.log,
        upgrades,
        requestMs: options.requestMs ?? limits.httpRequestMs,
        ...(options.portal !== undefined && { streams: ({ url }) => isFileUrl(url ?? '') }),
      });
      return machinery.server;
    },
    (close) => {
      const others = endStreams;
      endStreams = () => {
        others();
        close();
      };
    },
    () => port,
    upgrades,
  );
  assert(machinery !== undefined, 'the app has made its server');
  const served = machinery;
  const listener = await listen({
    name: 'adminPort',
    port: options.port,
    addresses: options.addresses,
    log: options.log,
    gate: options.gate,
    accept: secured(options, (socket) => served.accept(socket)),
  });
  port = listener.port;
  return {
    port,
    stopAccepting: () => listener.close(),
    async drain(withinMs) {
      endStreams();
      await served.drain(withinMs);
      await app.close();
    },
    connections: () => served.connections(),
  };
}

/** The app without sockets, for `inject`. */
export async function buildAdminApp(
  options: AdminDoorOptions,
  serverFactory?: (handler: http.RequestListener) => http.Server,
  /** Is told how to end what would never end by itself. */
  streams?: (close: () => void) => void,
  /** Of the door, once it is open. */
  port: () => number = () => 0,
  /** Gets the WebSockets that the port is to serve. */
  upgrades: UpgradeRoute[] = [],
): Promise<FastifyInstance> {
  const { hub, portal } = options;
  const asksForToken = !options.addresses.every(isLoopback);
  const app = fastify({
    ...(serverFactory === undefined ? {} : { serverFactory }),
    bodyLimit: limits.requestBytesMax,
    genReqId: () => uuid(hub.random),
    requestIdHeader: false,
    return503OnClosing: false,
    frameworkErrors: (error, request, reply) => sendRefusal(options, error, request, reply),
    clientErrorHandler: answeredElsewhere,
  });
  app.setErrorHandler((error, request, reply) => sendRefusal(options, error, request, reply));
  app.setNotFoundHandler((request, reply) =>
    sendRefusal(options, new HubError('AmqpAddressNotFound', 'There is nothing at this path.'), request, reply),
  );
  app.addHook('onRequest', async (request, reply) => {
    reply.headers({ 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' });
    const { host, origin } = request.headers;
    const origins = portal?.publicOrigins ?? [];
    const isOwn = isOwnHost(host, hub.hostNames.accepts) || isPublicHost(host, origins);
    if (!isOwn || !(portal === undefined ? isOwnOrigin(origin, host) : isOwnPage(request.raw, origins))) {
      throw new HubError('OperationNotAvailable', foreignRequest, { reason: 'wrong-host' });
    }
  });
  const guarded = async (request: FastifyRequest): Promise<void> => {
    if (asksForToken) await checkToken(options, request);
  };

  // Open to probes: it says that the process answers, and nothing else.
  app.get('/healthz', async (_request, reply) => reply.type('text/plain; charset=utf-8').send('ok\n'));
  app.get('/readyz', async (request, reply) => {
    const all = await options.health();
    const report = !asksForToken || (await holdsToken(options, request)) ? all : { ...all, checks: [] };
    reply.code(report.ready ? 200 : 503);
    if (request.headers.accept?.includes('application/json')) {
      return reply.type('application/json; charset=utf-8').send(JSON.stringify(report));
    }
    return reply.type('text/plain; charset=utf-8').send(healthText(report));
  });
  // Who asks while they are put together is given the same: each time takes some milliseconds, and anybody on the machine may ask.
  let underWay: ReturnType<AdminDoorOptions['metrics']> | undefined;
  app.get('/metrics', { onRequest: guarded }, async (_request, reply) => {
    underWay ??= options.metrics().finally(() => {
      underWay = undefined;
    });
    const { contentType, text } = await underWay;
    return reply.type(contentType).send(text);
  });
  let openApiText: string | undefined;
  app.get('/openapi.json', { onRequest: guarded }, async (_request, reply) => {
    openApiText ??= JSON.stringify(options.openApi());
    return reply.type('application/json; charset=utf-8').send(openApiText);
  });
  if (options.liveEvents !== undefined) {
    const route = addEventRoute(app, options.liveEvents, hub.clock, guarded);
    streams?.(() => route.close());
  }
  if (portal !== undefined) {
    const opened = addPortal(app, portal, port);
    upgrades.push(...opened.upgrades);
    streams?.(() => opened.close());
  }
  await app.ready();
  return app;
}

/** One line for `ready`, or for not being so, and one for each check that is not well. */
function healthText({ ready, checks }: HealthReport): string {
  const lines = checks
    .filter(({ status }) => status !== 'ok')
    .map(
      ({ name, status, reason, remedy }) => `${status} ${name}: ${reason}.${remedy === undefined ? '' : ` ${remedy}`}`,
    );
  return `${[ready ? 'ready' : 'not ready', ...lines].join('\n')}\n`;
}

const foreignRequest =
  'This port answers only requests whose Host is an address, localhost or a name of the hub, and whose Origin is its own.';

/** @throws HubError IotHubUnauthorized, IotHubUnauthorizedAccess */
async function checkToken({ hub }: AdminDoorOptions, request: FastifyRequest): Promise<void> {
  const token = tokenOf(request.headers.authorization);
  // The hub's own name, not the one the client used: what is asked for is the whole hub.
  const principal = await hub.authentication.token(token, hub.hostNames.all[0], request.socket.remoteAddress);
  hub.guard.demand(principal, 'hub.read');
}

async function holdsToken(options: AdminDoorOptions, request: FastifyRequest): Promise<boolean> {
  if (tokenOf(request.headers.authorization) === undefined) return false;
  try {
    await checkToken(options, request);
    return true;
  } catch (error) {
    if (error instanceof HubError) return false;
    throw error;
  }
}

function sendRefusal(
  { hub, log }: AdminDoorOptions,
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  const refused = hubErrorOf(error);
  const fields = { requestId: request.id, peer: request.socket.remoteAddress, route: request.routeOptions.url };
  if (refused.code === 'ServerError') {
    log.error({ ...fields, error: (refused.cause as Error)?.stack ?? String(refused.cause) }, 'admin request failed');
  } else if (refused.reason !== undefined) {
    log.info({ ...fields, reason: refused.reason }, 'admin request refused');
  }
  const refusal = refusalOf(refused, { requestId: request.id, now: hub.clock.now() });
  return reply.code(refusal.status).headers(refusal.headers).send(JSON.stringify(refusal.body));
}
