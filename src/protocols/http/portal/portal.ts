/**
 * The portal on the admin port: the files of the page, its sessions, and the management API with the session's rights. The rights
 * are the guard's to judge; here stands only whose a request is.
 */
import type http from 'node:http';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { limits } from '../../../base/limits.ts';
import { HubError } from '../../../core/errors.ts';
import type { PolicyPrincipal } from '../../../core/identity/types.ts';
import type { UpgradeRoute } from '../../shared/upgrade.ts';
import { absentRoutes } from '../absent-routes.ts';
import { apiRoutes } from '../api-routes.ts';
import { buildApp } from '../app.ts';
import type { PortalOptions } from '../options.ts';
import { invalidArgument } from '../refusals.ts';
import { cookieName, cookiesOf, isCrossSite, isPrivate } from './browser-rules.ts';
import { deviceSockets } from './device/device-route.ts';
import { pagePaths, pageSecurity, sendPage } from './pages.ts';
import { recentEvents } from './recent-events.ts';
import { addJsonParser, addSessionRoutes, type SessionGate } from './session-routes.ts';
import type { Session } from './sessions.ts';
import { addStreamRoutes } from './stream/streams.ts';

const API = '/portal/api';
const CSRF_HEADER = 'x-mooring-csrf';
/** Path and query of the API in place of those of the address: a browser takes `.` and `..` out of an address, which ids may be. */
const PATH_HEADER = 'x-mooring-path';
/** Says to the page which node has answered: one that does not know its session may be another one than that it has logged in at. */
const NODE_HEADER = 'x-mooring-node';
const HOUR_MS = 3_600_000;

const time = z.coerce.number().int().min(0).max(8.64e15);
const historySchema = z.strictObject({
  from: time.optional(),
  to: time.optional(),
  points: z.coerce.number().int().min(1).max(limits.historyPointsMax).default(400),
});

const recentSchema = z.strictObject({
  top: z.coerce.number().int().min(1).max(limits.portalEventsPerTickMax).default(limits.portalEventsPerTickMax),
});

export interface Portal {
  /** WebSockets of the admin port. */
  readonly upgrades: readonly UpgradeRoute[];
  /** Ends what would never end by itself. */
  close(): void;
}

/** @param port of the door, once it is open */
export function addPortal(app: FastifyInstance, options: PortalOptions, port: () => number): Portal {
  const { publicOrigins, sessions, pages, node } = options;
  addJsonParser(app);

  const gate: SessionGate = {
    demand(request) {
      const session = sessionOf(request);
      if (session === undefined) {
        throw new HubError('IotHubUnauthorized', undefined, { reason: 'missing-credential' });
      }
      return session;
    },
  };
  const sessionOf = (request: http.IncomingMessage, csrf = request.headers[CSRF_HEADER]): Session | undefined => {
    if (typeof csrf !== 'string') return undefined;
    for (const secure of [true, false]) {
      for (const cookie of cookiesOf(request.headers.cookie, cookieName(port(), secure))) {
        const session = sessions.find(cookie, csrf);
        if (session !== undefined) return session;
      }
    }
    return undefined;
  };

  app.addHook('onRequest', async (request, reply) => {
    if (!isPortalPath(request)) return;
    reply.headers(pageSecurity);
    if (node !== undefined) reply.header(NODE_HEADER, node);
    const { raw } = request;
    if (!isPrivate(raw, publicOrigins)) throw new HubError('OperationNotAvailable', needsTls, { reason: 'wrong-host' });
    // A link from elsewhere may lead to the page itself, which holds nothing; whose page has sent the request was asked of all.
    if (pathOf(request).startsWith('/portal/') && isCrossSite(raw)) {
      throw new HubError('OperationNotAvailable', foreignPage, { reason: 'wrong-host' });
    }
    const isRead = request.method === 'GET' || request.method === 'HEAD';
    if (!isRead && request.headers.origin === undefined && request.headers.cookie !== undefined) {
      throw new HubError('OperationNotAvailable', foreignPage, { reason: 'wrong-host' });
    }
  });

  addSessionRoutes(app, options, port, gate);

  const streams = addStreamRoutes(app, gate, options);
  app.get('/portal/history', async (request, reply) => {
    const { principal } = gate.demand(request.raw);
    options.hub.guard.demand(principal, 'hub.read');
    const parsed = historySchema.safeParse(request.query);
    if (!parsed.success) throw invalidArgument(parsed.error, 'query');
    const { from, to, points } = parsed.data;
    const now = options.hub.clock.now();
    const answer = options.history(from ?? now - HOUR_MS, to ?? now, points);
    return reply.type('application/json; charset=utf-8').send(JSON.stringify(answer));
  });

  app.get('/portal/recent', async (request, reply) => {
    const { principal } = gate.demand(request.raw);
    const parsed = recentSchema.safeParse(request.query);
    if (!parsed.success) throw invalidArgument(parsed.error, 'query');
    const events = await recentEvents(options.hub, principal, parsed.data.top);
    return reply.type('application/json; charset=utf-8').send(JSON.stringify({ events }));
  });

  const principals = new WeakMap<http.IncomingMessage, PolicyPrincipal>();
  let api: Promise<FastifyInstance> | undefined;
  // Made when a page asks for the first time: most starts of a hub are not for the portal.
  const apiApp = (): Promise<FastifyInstance> => {
    api ??= buildApp({
      hub: options.hub,
      routes: apiRoutes(options.hub, options.api).filter(({ caller }) => caller !== 'device'),
      absent: absentRoutes,
      caller: (request) => principals.get(request),
    });
    return api;
  };
  app.route({
    method: ['GET', 'HEAD', 'PUT', 'POST', 'DELETE', 'PATCH'],
    url: `${API}/*`,
    // Handed over before the body is read: the API reads it by its own bounds.
    onRequest: async ({ raw }, reply) => {
      const { principal } = gate.demand(raw);
      const table = await apiApp();
      principals.set(raw, principal);
      raw.url = apiPath(raw);
      reply.hijack();
      for (const [name, value] of Object.entries(pageSecurity)) reply.raw.setHeader(name, value);
      reply.raw.setHeader('cache-control', 'no-store');
      table.routing(raw, reply.raw);
    },
    handler: async () => {},
  });

  const index = async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> =>
    sendPage(pages, 'index.html', request, reply);
  for (const path of pagePaths) app.get(`/${path}`, index);
  app.get('/assets/*', async (request, reply) =>
    sendPage(pages, `assets/${(request.params as Readonly<Record<string, string>>)['*']}`, request, reply),
  );
  for (const name of ['favicon.svg', 'license.md']) {
    app.get(`/${name}`, async (request, reply) => sendPage(pages, name, request, reply));
  }
  const devices = deviceSockets(options, sessionOf);
  return {
    upgrades: [devices.route],
    close() {
      devices.close();
      streams.close();
      sessions.end('all', 'stopping');
    },
  };

  function isPortalPath(request: FastifyRequest): boolean {
    const path = pathOf(request);
    return path.startsWith('/portal/') || path.startsWith('/assets/') || pagePaths.some((own) => path === `/${own}`);
  }
}

/** The route that was found, which an address may spell in several ways (`/%70ortal/…`); where there is none, the address. */
const pathOf = ({ routeOptions, url }: FastifyRequest): string => routeOptions.url ?? (url.split('?', 1)[0] as string);

/** @throws HubError AmqpAddressNotFound, where the address is not spelled plainly */
function apiPath({ url = '', headers }: http.IncomingMessage): string {
  const named = headers[PATH_HEADER];
  if (typeof named === 'string' && named.startsWith('/')) return named;
  const at = url.indexOf(API);
  if (at === -1) throw new HubError('AmqpAddressNotFound', 'There is nothing at this path.');
  return url.slice(at + API.length);
}

const needsTls =
  'The portal is not served over a connection that others can read. Open it by https:// at the same port, or name in ' +
  'portalOrigin the address of the proxy that speaks TLS for it.';
const foreignPage = 'The portal answers only its own pages: the request came from a page of another origin.';
