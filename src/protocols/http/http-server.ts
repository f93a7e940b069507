/**
 * The HTTP/1.1 machinery under both doors: sockets come from a `Listener` (so TLS is set up in one place), requests go to
 * a handler. It bounds header size and the time a request may take, and knows which connections are busy, so that
 * draining lets answers finish and ends the rest.
 */

import http from 'node:http';
import type net from 'node:net';
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import { type Random, uuid } from '../../base/random.ts';
import { work } from '../../base/work.ts';
import { HubError } from '../../core/errors.ts';
import type { Proved } from '../shared/connection-gate.ts';
import type { UpgradeRoute } from '../shared/upgrade.ts';
import { originForm, pathOf } from './addresses.ts';
import { Pipeline } from './pipeline.ts';
import { refusalOf } from './refusals.ts';

export interface HttpServerOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly upgrades: readonly UpgradeRoute[];
  /** 0 = nothing is timed, for streams whose time is not the machine's. */
  readonly requestMs: number;
  /** Whether the body of a request may take as long as it likes, its handler seeing to it that it goes on. */
  streams?(request: http.IncomingMessage): boolean;
}

export interface HttpServer {
  readonly server: http.Server;
  /**
   * Gives an accepted socket to the server.
   * @param proved is called when a request on it has proved whose it is (`provedOn`).
   */
  accept(socket: net.Socket, proved?: Proved): void;
  /** A request on the socket has proved whose it is. @param by whose share it uses (`shareName`) */
  provedOn(socket: net.Socket, by?: string): void;
  connections(): number;
  /** Answers what has been asked, then ends every connection; after `withinMs` by force. */
  drain(withinMs?: number): Promise<void>;
}

export function createHttpServer(handler: http.RequestListener, options: HttpServerOptions): HttpServer {
  /** Open connections and the requests that each has in hand. */
  const busy = new Map<net.Socket, Pipeline>();
  const unproved = new WeakMap<net.Socket, Proved>();
  let draining = false;
  let drained: (() => void) | undefined;

  const endIfIdle = (socket: net.Socket): void => {
    if (draining && busy.get(socket)?.isIdle === true) socket.destroySoon();
  };
  const forget = (socket: net.Socket): void => {
    busy.delete(socket);
    if (busy.size === 0) drained?.();
  };

  const server = http.createServer(
    {
      maxHeaderSize: limits.httpHeaderBytesMax,
      headersTimeout: Math.min(limits.handshakeMs, options.requestMs),
      // The runtime times all requests or none; where some may take longer, those that may not are timed below.
      requestTimeout: options.streams === undefined ? options.requestMs : 0,
      keepAliveTimeout: limits.httpKeepAliveMs,
      keepAliveTimeoutBuffer: 0,
      connectionsCheckingInterval: limits.httpCheckMs,
      highWaterMark: limits.httpSocketBytesMax,
      insecureHTTPParser: false,
      joinDuplicateHeaders: false,
      // Refused below, in the form of every refusal.
      requireHostHeader: false,
      shouldUpgradeCallback: (request) => request.headers.upgrade?.toLowerCase() === 'websocket',
    },
    received,
  );
  function received(request: http.IncomingMessage, response: http.ServerResponse): void {
    const { socket } = request;
    const pipeline = busy.get(socket);
    if (pipeline === undefined) {
      socket.destroy();
      return;
    }
    pipeline.begin(response, () => {
      work.httpRequests++;
      request.url = originForm(request.url ?? '');
      if (draining) response.setHeader('connection', 'close');
      response.once('close', () => {
        pipeline.ended();
        endIfIdle(socket);
      });
      if (request.rawHeaders.length > 2 * limits.httpHeadersMax) {
        const error = new HubError('MessageTooLarge', `The header has more than ${limits.httpHeadersMax} lines.`);
        const { status, headers, body } = closingRefusal(error, options, 431);
        response.writeHead(status, headers).end(body);
        return;
      }
      // RFC 9112 section 3.2: exactly one; HTTP/1.0 may do without.
      const hosts = hostsIn(request.rawHeaders);
      if (hosts > 1 || (hosts === 0 && request.httpVersion === '1.1')) {
        const error = new HubError('IotHubFormatError', 'The request must have one Host header.');
        const { status, headers, body } = closingRefusal(error, options);
        response.writeHead(status, headers).end(body);
        return;
      }
      if (options.streams !== undefined) {
        if (!options.streams(request)) limitTime(request, response, options);
        // The runtime reads and drops what comes behind an answer.
        else response.once('close', () => limitTime(request, response, options));
      }
      handler(request, response);
    });
  }
  // Whether more may come is said by `handler`, when it knows who asks.
  server.on('checkContinue', received);
  // All headers count, none is dropped in silence: their bytes are bounded, and their number above.
  server.maxHeadersCount = 0;
  server.maxRequestsPerSocket = limits.httpRequestsPerConnectionMax;
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    options.log.debug({ error: error.code ?? error.message }, 'HTTP request could not be read');
    // Behind an answer that has begun a second one would count as that of another request.
    const isAnswered = busy.get(socket as net.Socket)?.isAnswering === true;
    if (socket.writable && !isAnswered) refuseRaw(socket as net.Socket, brokenRequest(error), options);
    else socket.destroy();
  });
  server.on('upgrade', (request, socket: net.Socket, head) => {
    request.url = originForm(request.url ?? '');
    const route = draining ? undefined : findUpgrade(request, options.upgrades);
    if (route === undefined) {
      const code = draining ? 'ServiceUnavailable' : 'AmqpAddressNotFound';
      const text = draining ? 'The hub is stopping.' : 'No WebSocket of this path and sub-protocol is served.';
      refuseRaw(socket, { error: new HubError(code, text) }, options);
      return;
    }
    forget(socket);
    route.accept(request, socket, head, unproved.get(socket) ?? (() => {}));
  });
  // The runtime checks the times above from this event on; no port of this server itself ever listens.
  if (options.requestMs > 0) server.emit('listening');

  return {
    server,
    provedOn(socket, by) {
      unproved.get(socket)?.(by);
      unproved.delete(socket);
    },
    accept(socket, proved) {
      if (proved !== undefined) unproved.set(socket, proved);
      busy.set(socket, new Pipeline(socket));
      socket.once('close', () => forget(socket));
      server.emit('connection', socket);
      endIfIdle(socket);
    },
    connections: () => busy.size,
    async drain(withinMs: number = limits.drainMs) {
      draining = true;
      for (const socket of busy.keys()) endIfIdle(socket);
      await new Promise<void>((resolve) => {
        const cancel = options.clock.after(withinMs, () => {
          for (const socket of busy.keys()) socket.destroy();
          resolve();
        });
        drained = () => {
          cancel();
          resolve();
        };
        if (busy.size === 0) drained();
      });
      server.close();
    },
  };
}

/**
 * What the framework over this server does with a request that cannot be read: nothing. It would destroy the socket, and with
 * it the answer that this server is still sending.
 */
export function answeredElsewhere(): void {}

/** Whether the client sends its body only after `100 Continue`: those that the runtime does not answer by itself (`checkContinue`). */
export function awaitsContinue({ headers, httpVersion }: http.IncomingMessage): boolean {
  return headers.expect !== undefined && httpVersion === '1.1' && /(?:^|\W)100-continue(?:$|\W)/i.test(headers.expect);
}

/** How many Host headers there are; names and values stand one after the other. */
function hostsIn(rawHeaders: readonly string[]): number {
  let count = 0;
  for (let at = 0; at < rawHeaders.length; at += 2) {
    if (rawHeaders[at].length === 4 && rawHeaders[at].toLowerCase() === 'host') count++;
  }
  return count;
}

/** Ends a request whose body does not come in time, as the runtime would; also behind its answer. */
function limitTime(request: http.IncomingMessage, response: http.ServerResponse, options: HttpServerOptions): void {
  const { 'content-length': length, 'transfer-encoding': coding } = request.headers;
  if (
    options.requestMs === 0 ||
    request.complete ||
    request.destroyed ||
    (coding === undefined && (length === undefined || length === '0'))
  )
    return;
  const cancel = options.clock.after(options.requestMs, () => {
    if (request.complete) return;
    if (response.headersSent) request.socket.destroy();
    else refuseRaw(request.socket, lateRequest(), options);
  });
  request.once('close', cancel);
}

function findUpgrade(request: http.IncomingMessage, routes: readonly UpgradeRoute[]): UpgradeRoute | undefined {
  const path = decoded(pathOf(request.url ?? '')).toLowerCase();
  const offered = (request.headers['sec-websocket-protocol'] ?? '').split(',').map((name) => name.trim().toLowerCase());
  return routes.find((route) => route.path === path && route.subprotocols.some((name) => offered.includes(name)));
}

/** Some clients encode the `$` of `/$iothub`. */
function decoded(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

function brokenRequest(error: NodeJS.ErrnoException): { error: HubError; status?: number } {
  if (error.code === 'HPE_HEADER_OVERFLOW') {
    const text = `The header is larger than ${limits.httpHeaderBytesMax} bytes.`;
    return { error: new HubError('MessageTooLarge', text), status: 431 };
  }
  if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT') {
    return lateRequest();
  }
  return { error: new HubError('IotHubFormatError', 'The request is not HTTP/1.1.') };
}

function lateRequest(): { error: HubError; status: number } {
  return { error: new HubError('IotHubFormatError', 'The request did not arrive in time.'), status: 408 };
}

/** A refusal as text, after which the connection ends: what follows on it cannot be told apart from the refused. */
function closingRefusal(error: HubError, { random, clock }: HttpServerOptions, status = error.status) {
  const refusal = refusalOf(error, { requestId: uuid(random), now: clock.now() }, status);
  const body = JSON.stringify(refusal.body);
  const headers = { ...refusal.headers, 'content-length': String(Buffer.byteLength(body)), connection: 'close' };
  return { status: refusal.status, headers, body };
}

/** Answers on a socket that has no response object, and ends it. */
function refuseRaw(
  socket: net.Socket,
  { error, status }: { error: HubError; status?: number },
  options: HttpServerOptions,
): void {
  const refusal = closingRefusal(error, options, status);
  const lines = Object.entries(refusal.headers).map(([name, value]) => `${name}: ${value}\r\n`);
  const reason = http.STATUS_CODES[refusal.status] ?? '';
  socket.end(`HTTP/1.1 ${refusal.status} ${reason}\r\n${lines.join('')}\r\n${refusal.body}`, () =>
    socket.destroySoon(),
  );
}
