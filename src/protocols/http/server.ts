/** The HTTPS port: the management API, and WebSockets of other protocols by the table that compose hands over. */
import type http from 'node:http';
import { assert } from '../../base/assert.ts';
import { limits } from '../../base/limits.ts';
import type { Hub } from '../../core/hub.ts';
import { listen } from '../shared/listener.ts';
import { absentRoutes } from './absent-routes.ts';
import { buildApp } from './app.ts';
import { authorityRoutes } from './authority-routes.ts';
import { commandRoutes } from './command-routes.ts';
import { deviceRoutes } from './device-routes.ts';
import { createHttpServer, type HttpServer } from './http-server.ts';
import { hubRoutes } from './hub-routes.ts';
import type { HttpsDoor, HttpsDoorOptions } from './options.ts';
import { registryRoutes } from './registry-routes.ts';
import { serverAuthorityRoutes } from './server-authority-routes.ts';

/** Opens the HTTPS port. @throws Error naming the setting, when the port cannot be opened. */
export async function openHttpsDoor(hub: Hub, options: HttpsDoorOptions): Promise<HttpsDoor> {
  let machinery: HttpServer | undefined;
  const serverFactory = (handler: http.RequestListener): http.Server => {
    machinery = createHttpServer(handler, {
      clock: hub.clock,
      random: hub.random,
      log: hub.log,
      upgrades: options.upgrades ?? [],
      requestMs: options.requestMs ?? limits.httpRequestMs,
    });
    return machinery.server;
  };
  const app = await buildApp({
    hub,
    routes: [
      ...registryRoutes(hub),
      ...commandRoutes(hub),
      ...deviceRoutes(hub),
      ...hubRoutes(hub),
      ...authorityRoutes(hub),
      ...serverAuthorityRoutes(hub, options.authority),
    ],
    absent: absentRoutes,
    proved: (socket) => machinery?.provedOn(socket),
    serverFactory,
  });
  assert(machinery !== undefined, 'the app has made its server');
  const served = machinery;
  const listener = await listen({
    name: 'httpsPort',
    port: options.port,
    addresses: options.addresses,
    tls: options.tls,
    log: hub.log,
    gate: options.gate,
    accept: (socket, proved) => served.accept(socket, proved),
  });
  return {
    port: listener.port,
    stopAccepting: () => listener.close(),
    async drain(withinMs) {
      await served.drain(withinMs);
      await app.close();
    },
    connections: () => served.connections(),
    openApi: () => app.swagger(),
  };
}
