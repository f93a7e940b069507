import type http from 'node:http';
import type net from 'node:net';
import { assert } from '../../base/assert.ts';
import { limits } from '../../base/limits.ts';
import type { Hub } from '../../core/hub.ts';
import { shareName } from '../../core/identity/share-name.ts';
import type { Proved } from '../shared/connection-gate.ts';
import { absentRoutes } from './absent-routes.ts';
import { apiRoutes, isFileUrl } from './api-routes.ts';
import { buildApp } from './app.ts';
import { blobRequests, isBlobUrl } from './files/blob-requests.ts';
import { createHttpServer, type HttpServer } from './http-server.ts';
import type { HttpsDoorOptions } from './options.ts';

/** All HTTP connections of one door, over whatever kind of byte stream they come. */
export interface HttpConnections {
  /**
   * Serves one stream of bytes, which it owns from here.
   * @param proved is called when a request on it has proved whose it is.
   */
  accept(stream: net.Socket, proved?: Proved): void;
  count(): number;
  /** Answers what has been asked, then ends every connection; after `withinMs` by force. */
  drain(withinMs?: number): Promise<void>;
  /** The management API as an OpenAPI 3 document. */
  openApi(): unknown;
}

/** The whole API on streams of bytes: what the HTTPS port serves, without the port. */
export async function httpConnections(
  hub: Hub,
  options: Pick<HttpsDoorOptions, 'authority' | 'upgrades' | 'files' | 'registryJobs' | 'archives' | 'requestMs'>,
): Promise<HttpConnections> {
  let machinery: HttpServer | undefined;
  const files =
    options.files &&
    blobRequests({
      blobs: options.files.blobs,
      clock: hub.clock,
      random: hub.random,
      log: hub.log,
      proved: ({ socket }, by) => machinery?.provedOn(socket, by),
    });
  const serverFactory = (handler: http.RequestListener): http.Server => {
    const chosen: http.RequestListener = (request, response) => {
      if (files !== undefined && isBlobUrl(request.url ?? '')) files(request, response);
      else handler(request, response);
    };
    machinery = createHttpServer(chosen, {
      clock: hub.clock,
      random: hub.random,
      log: hub.log,
      upgrades: options.upgrades ?? [],
      requestMs: options.requestMs ?? limits.httpRequestMs,
      ...(files !== undefined && { streams: ({ url }) => isBlobUrl(url ?? '') || isFileUrl(url ?? '') }),
    });
    return machinery.server;
  };
  const app = await buildApp({
    hub,
    routes: apiRoutes(hub, options),
    absent: absentRoutes,
    proved: (socket, principal) => machinery?.provedOn(socket, shareName(principal)),
    serverFactory,
  });
  assert(machinery !== undefined, 'the app has made its server');
  const served = machinery;
  return {
    accept: (stream, proved) => served.accept(stream, proved),
    count: () => served.connections(),
    async drain(withinMs) {
      await served.drain(withinMs);
      await app.close();
    },
    openApi: () => app.swagger(),
  };
}
